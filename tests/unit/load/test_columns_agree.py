"""Values that are read as columns are valid, invalid and equal exactly where they are so one by one."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sluice.contracts import Column, Contract, read_contract, validation
from sluice.contracts.paths import MISSING, first_value
from sluice.contracts.validation import validate_event
from sluice.load import columns as columns_module
from sluice.load.columns import Columns, read_columns
from tests.fixtures.json_texts import anything, days, moments, mutated, names, numbers, spaces, spelled, strings

CONTRACT = """\
stream: all.types
description: Every type, with and without limits.
owner: tests
topic: {partitions: 1, retention_bytes: 1048576}
key: id
event_time: at
lateness: 1h
load: {schedule: "* * * * *"}
columns:
  - {name: event_id, type: string, nullable: false, description: The id.}
  - {name: id, type: string, nullable: false, max_length: 8, description: The key.}
  - {name: at, type: timestamp, nullable: false, description: The time.}
  - {name: text, type: string, description: Any text.}
  - {name: code, type: string, max_length: 3, description: A short text.}
  - {name: plate, type: string, pattern: "(?i:[a-z]+\\\\d|é.$)|", description: A text with a pattern.}
  - {name: choice, type: string, enum: ["", a, "é\\n"], description: One of a few texts.}
  - {name: long, type: string, min_length: 2, description: A text that is not short.}
  - {name: renamed, type: string, from: theName, description: A text from a field of another name.}
  - {name: flag, type: boolean, description: A truth value.}
  - {name: small, type: int32, description: A number.}
  - {name: bounded, type: int32, minimum: -2, maximum: 7, description: A number with limits.}
  - {name: big, type: int64, description: A large number.}
  - {name: large, type: int64, minimum: 0, maximum: 9007199254740993, description: A large number with limits.}
  - {name: real, type: float64, description: A fraction.}
  - {name: ratio, type: float64, minimum: 0, maximum: 9007199254740992, description: A fraction with limits.}
  - {name: day, type: date, description: A date.}
  - {name: recent, type: date, years: {first: 2000, last: 2030}, description: A date with limits.}
  - {name: moment, type: timestamp, description: A time.}
  - {name: wide, type: timestamp, years: {first: 1, last: 9999}, description: Any time.}
"""
RECORD_TIME = ("event_time: at", "event_time: record")
"""Replaced in the contract, the records' timestamps count."""
AT = datetime(2013, 1, 1, 10, 17, 0, 123_000, UTC)

_TYPICAL = {
    "small": numbers,
    "bounded": numbers,
    "big": numbers,
    "large": numbers,
    "real": numbers,
    "ratio": numbers,
    "text": strings,
    "code": strings,
    "plate": strings | st.from_regex(r"[a-zA-Z]{0,3}(\d|é.)?\n?", fullmatch=True).map(json.dumps),
    "choice": strings | st.sampled_from(['""', '"a"', '"A"', '"a "', '"é\\n"', '"\\u0061"']),
    "long": strings,
    "theName": strings,
    "event_id": strings,
    "id": strings,
    "moment": moments,
    "wide": moments,
    "day": days.map(lambda text: f'"{text}"'),
    "recent": days.map(lambda text: f'"{text}"'),
}
_REQUIRED = [("event_id", '"e"'), ("id", '"k"'), ("at", '"2013-01-01T10:17:00.123Z"')]
_known = st.sampled_from(sorted({*_TYPICAL, "flag"})).flatmap(
    lambda name: st.tuples(st.just(name), st.one_of(*[_TYPICAL.get(name, anything)] * 3, anything))
)
_time = st.tuples(
    st.just("at"), st.sampled_from(["2013-01-01T12:17:00.123999+02:00", "2013-01-01T10:17:00.124Z"]).map(json.dumps)
)
_unknown = st.tuples(names, anything)


@st.composite
def _objects(draw: st.DrawFn) -> bytes:
    required = dict(_REQUIRED)
    drop = draw(st.sampled_from([*[None] * 12, *required]))
    space = draw(spaces)
    if drop:
        del required[drop]
    pairs = [*required.items(), *draw(st.lists(st.one_of(_known, _known, _known, _unknown, _time), max_size=4))]
    if not draw(st.sampled_from([False, False, False, False, True])):
        # Usually, each field is given once.
        pairs = list(dict(pairs).items())
    pairs = draw(st.permutations(pairs))
    fields = [f"{spelled(name, draw(st.booleans()))}{draw(space)}:{draw(space)}{value}" for name, value in pairs]
    text = "{" + ",".join(fields) + "}" + draw(space)
    return text.encode("utf-8", "surrogatepass")


_stamps = st.sampled_from(
    [AT, AT, AT, None, datetime(1899, 12, 31, 23, 59, 59, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)]
)
_values = st.one_of(_objects(), _objects(), _objects(), mutated(_objects()), st.binary(max_size=8), st.none())


def _contract(tmp_path_factory: pytest.TempPathFactory, *change: str) -> Contract:
    file: Path = tmp_path_factory.mktemp("contracts") / "all.types.yaml"
    file.write_text(CONTRACT.replace(*change) if change else CONTRACT)
    return read_contract(file)


@pytest.fixture(scope="module")
def contract(tmp_path_factory: pytest.TempPathFactory) -> Contract:
    return _contract(tmp_path_factory)


@pytest.fixture(scope="module")
def by_record(tmp_path_factory: pytest.TempPathFactory) -> Contract:
    return _contract(tmp_path_factory, *RECORD_TIME)


def _read(contract: Contract, values: list[bytes | None], stamps: list[datetime | None] | None = None) -> Columns:
    records = {
        "value": pa.array(values, pa.binary()),
        "timestamp": pa.array(stamps or [AT] * len(values), pa.timestamp("us", tz="UTC")),
        "key": pa.nulls(len(values), pa.binary()),
    }
    return read_columns(contract, pa.table(records))


def _typed(contract: Contract, value: bytes | None) -> dict[str, Any]:
    """Converts a valid event as Python does, on its own."""
    event = json.loads(value or b"")
    converters: dict[str, Callable[[Any], Any]] = {
        "timestamp": lambda text: datetime.fromisoformat(text.upper()),
        "date": date.fromisoformat,
        "float64": float,
    }

    def convert(column: Column) -> Callable[[Any], Any]:
        return converters.get(column.type, lambda value: value)

    return {
        column.name: None if (found := first_value(event, column.paths)) in (None, MISSING) else convert(column)(found)
        for column in contract.columns
    }


@settings(max_examples=300, deadline=None)
@given(st.lists(_values, max_size=6))
@example([b'{"event_id":"e","id":"k","at":"2013-01-01T10:17:00.123Z","real":%s}' % (b"9" * 400)])
@example([b'{"event_id":"e","id":"k","at":"2013-01-01T10:17:00.123Z","ratio":9007199254740993}'])
@example([b'{"event_id":"e","id":"k","at":"2013-01-01T10:17:00.123Z","wide":"0001-01-01T00:00:00+01:00"}'])
@example([b'{"event_id":"e","id":"k","at":"2013-01-01T10:17:00.123Z","wide":"9999-12-31T23:59:59-01:00"}'])
def test_columns_agree_with_single_events_on_every_value(contract: Contract, values: list[bytes | None]) -> None:
    _assert_agreement(contract, values, [AT] * len(values))


@pytest.mark.parametrize("name", sorted(_TYPICAL))
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_columns_agree_with_single_events_on_every_value_of_a_column(
    contract: Contract, name: str, data: st.DataObject
) -> None:
    # Objects that are valid but for this column: a check that is missing shows in nothing else.
    values = data.draw(st.lists(_TYPICAL[name], min_size=1, max_size=8))
    objects = [{**dict(_REQUIRED), name: value} for value in values]
    texts = ["{" + ",".join(f'"{field}":{value}' for field, value in fields.items()) + "}" for fields in objects]
    _assert_agreement(contract, [text.encode("utf-8", "surrogatepass") for text in texts], [AT] * len(texts))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(_objects(), _stamps), max_size=6))
@example([(b'{"event_id":"e","id":"k","at":"2013-01-01T10:17:00.123Z"}', stamp) for stamp in (AT, None)])
def test_columns_agree_with_single_events_on_every_timestamp_of_a_record(
    by_record: Contract, records: list[tuple[bytes | None, datetime | None]]
) -> None:
    _assert_agreement(by_record, [value for value, _ in records], [stamp for _, stamp in records])


def _assert_agreement(contract: Contract, values: list[bytes | None], stamps: list[datetime | None]) -> None:
    columns = _read(contract, values, stamps)
    expected = [validate_event(contract, value, stamp) for value, stamp in zip(values, stamps, strict=True)]
    assert columns.is_valid.to_pylist() == [event is not None for event, _ in expected]
    assert columns.reasons == [reason for event, reason in expected if event is None]
    assert columns.rows.to_pylist() == [
        _typed(contract, value) for value, (event, _) in zip(values, expected, strict=True) if event is not None
    ]
    for number, event in enumerate(event for event, _ in expected if event is not None):
        for name in event.unknown:
            assert number in _positions(columns, name)
    # The reason is stored as text and shown in terminals.
    assert all(reason.isprintable() and reason.encode() and len(reason) < 300 for reason in columns.reasons)


def _positions(columns: Columns, name: str) -> list[int]:
    """Returns which of the valid values contain an unknown field."""
    positions = {int(index): number for number, index in enumerate(columns.is_valid.to_numpy(False).nonzero()[0])}
    return [positions[int(index)] for index in columns.unknown[name]]


def test_times_without_a_zone_and_dates_agree_where_the_contract_has_a_zone(tmp_path: Path) -> None:
    path = tmp_path / "all.types.yaml"
    path.write_text(
        CONTRACT.replace("name: moment, type: timestamp", "name: moment, type: timestamp, zone: Asia/Tokyo")
    )
    contract = read_contract(path)
    moments = ["2013-01-31", "2013-01-31T00:00:00", "2013-01-30T15:00:00Z", "2013-02-30", "1815-06-18", "2013-1-31"]
    values = [PLAIN[:-1] % 0 + f',"moment":"{moment}"}}'.encode() for moment in moments]
    columns = _read(contract, list(values))
    expected = [validate_event(contract, value, AT) for value in values]
    assert columns.is_valid.to_pylist() == [True] * 3 + [False] * 3
    assert columns.reasons == [reason for event, reason in expected if event is None]
    assert columns.rows["moment"].to_pylist() == [datetime(2013, 1, 30, 15, tzinfo=UTC)] * 3


PLAIN = b'{"event_id":"%d","id":"k","at":"2013-01-01T10:17:00.123Z"}'
ERRORS = [AssertionError, OverflowError, pa.ArrowInvalid, RecursionError]


@pytest.mark.parametrize("error", ERRORS)
def test_a_chunk_that_fails_unforeseen_loses_no_valid_value(
    contract: Contract, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    values: list[bytes | None] = [PLAIN % number for number in range(50)]
    values[31] = b"odd"

    def fail(contract: Contract, records: pa.RecordBatch) -> Columns:
        if {values[17], values[31]} & {*records["value"].to_pylist()}:
            raise error("unforeseen")
        return read_chunk(contract, records)

    read_chunk = columns_module._read_chunk
    monkeypatch.setattr(columns_module, "_read_chunk", fail)
    columns = _read(contract, values)
    assert columns.reasons == ["not JSON: Expecting value at character 0"]
    assert columns.rows["event_id"].to_pylist() == [str(number) for number in range(50) if number != 31]


@pytest.mark.parametrize("error", ERRORS)
def test_a_value_that_fails_unforeseen_is_invalid_and_costs_no_other(
    contract: Contract, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    values: list[bytes | None] = [PLAIN % number for number in range(50)]
    values[17] = b"odd"

    def fail(value: bytes | None, *, exact: bool) -> Any:
        if value == b"odd":
            raise error("unforeseen")
        return parse(value, exact=exact)

    parse = validation.parse
    monkeypatch.setattr(validation, "parse", fail)
    columns = _read(contract, values)
    assert columns.reasons == [f"cannot be read: {error.__name__}"]
    assert columns.rows["event_id"].to_pylist() == [str(number) for number in range(50) if number != 17]
