"""Values of newer types and nested fields become the same columns, reasons and unknown fields as one by one."""

import gc
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sluice.contracts import Contract, read_contract
from sluice.load import columns as columns_module
from sluice.load.columns import read_columns
from tests.fixtures.json_texts import anything, clocks, days, moments, mutated, names, numbers, spaces, spelled, strings

CONTRACT = """\
stream: all.newer
description: Every type and every kind of path.
owner: tests
topic: {partitions: 1, retention_bytes: 1048576}
key: id
event_time: at
lateness: 1h
load: {schedule: "* * * * *"}
columns:
  - {name: id, type: string, nullable: false, max_length: 8, from: meta.key, description: The key.}
  - {name: event_id, type: uuid, nullable: false, description: Another id.}
  - {name: at, type: timestamp, nullable: false, from: [meta.at, at], description: The time.}
  - {name: price, type: "decimal(6, 2)", minimum: 0, maximum: 1000, description: An amount with limits.}
  - {name: rate, type: "decimal(4, 3)", minimum: -0.1, description: An amount with a limit that no float holds.}
  - {name: count, type: "decimal(30, 0)", maximum: 9007199254740993, description: A large integer with a limit.}
  - {name: share, type: "decimal(3, 3)", description: Digits after the point alone.}
  - {name: wide, type: "decimal(1000, 500)", description: Many digits.}
  - {name: document, type: json, description: Anything.}
  - {name: part, type: json, nullable: false, from: "document[\\"a b\\"][1]", description: A part of it.}
  - {name: clock, type: time, description: A time of day.}
  - {name: reference, type: uuid, description: An id.}
  - {name: millis, type: timestamp, format: epoch_ms, description: A number since 1970.}
  - {name: seconds, type: timestamp, format: epoch_s, description: A number since 1970.}
  - {name: micros, type: timestamp, format: epoch_us, years: {first: 1, last: 9999}, description: Any year.}
  - {name: local, type: timestamp, zone: Europe/Vienna, description: A time without a zone.}
  - {name: moment, type: timestamp, description: A time with a zone.}
  - {name: day, type: date, description: A date.}
  - {name: longitude, type: float64, from: "pair[0]", minimum: -180, description: The first of two.}
  - {name: latitude, type: int64, from: "pair[1]", description: The second of two.}
  - {name: pair, type: array(float64), description: Both.}
  - {name: code, type: string, from: [code, meta.code, "[\\"odd name\\"]"], enum: [a, b], description: A text.}
  - {name: flag, type: boolean, description: A truth value.}
  - {name: small, type: int32, maximum: 7, description: A small number.}
  - {name: texts, type: array(string), description: Texts.}
  - {name: flags, type: array(boolean), description: Truth values.}
  - {name: smalls, type: array(int32), description: Small numbers.}
  - {name: bigs, type: array(int64), description: Large numbers.}
  - {name: amounts, type: "array(decimal(5, 1))", description: Amounts.}
  - {name: dates, type: array(date), description: Dates.}
  - {name: clocks, type: array(time), description: Times of day.}
  - {name: moments, type: array(timestamp), description: Times.}
  - {name: references, type: array(uuid), description: Ids.}
"""
WITHOUT_EXACT_NUMBERS = """\
stream: all.nested
description: Nested fields, without a type that needs a number's text.
owner: tests
topic: {partitions: 1, retention_bytes: 1048576}
key: id
event_time: record
keep: last
deletes: tombstone
id: id
lateness: 1h
load: {schedule: "* * * * *"}
columns:
  - {name: id, type: string, nullable: false, max_length: 8, from: meta.key, description: The key.}
  - {name: longitude, type: float64, from: "pair[0]", maximum: 180, description: The first of two.}
  - {name: latitude, type: int64, from: "pair[1]", description: The second of two.}
  - {name: pair, type: array(float64), description: Both.}
  - {name: reference, type: uuid, description: An id.}
  - {name: part, type: string, from: "document[\\"a b\\"][1]", description: A text.}
"""
RECORDS = pa.schema({"value": pa.binary(), "timestamp": pa.timestamp("us", tz="UTC"), "key": pa.binary()})
AT = datetime(2013, 1, 1, 10, 17, 0, 123_000, UTC)

_uuids = st.one_of(
    st.uuids().map(lambda uuid: f'"{uuid}"'),
    st.uuids().map(lambda uuid: f'"{str(uuid).upper()}"'),
    st.uuids().flatmap(lambda uuid: st.sampled_from([f'"{uuid.hex}"', f'"{{{uuid}}}"', f'"{uuid}\\n"', f'" {uuid}"'])),
)
_decimals = st.one_of(
    st.decimals(-2_000, 2_000, places=2).map(str),
    st.decimals(-1, 1, places=3).map(lambda number: f'"{number}"'),
    st.sampled_from(
        ["0", "-0", "0.0", "-0.00", "1000", "1000.00", "1000.01", "-0.1", "-0.10", "-0.1001", "1e3", "1E-2"]
    ),
    st.sampled_from(
        ['"007"', '"1.500"', '"+1"', '"1e2"', '" 1"', '"1\\n"', '".5"', '"\\u0031"', '"NaN"', '"1_0"', '"١"']
    ),
    st.sampled_from([2**53 - 1, 2**53, 2**53 + 1, 2**53 + 2, 10**29, 10**30]).map(str),
    st.sampled_from([499, 500, 501, 999, 1_000, 1_001]).map("9".__mul__),
    st.sampled_from([499, 500, 501, 502]).map(lambda digits: f"0.{'0' * digits}1"),
    numbers,
)
_epochs = st.one_of(
    st.integers(-(2**42), 2**43).map(str),
    st.integers(-(2**34), 2**33).map(str),
    st.decimals(-(2**31), 2**33, places=7).map(str),
    numbers,
)
_dates = days.map(lambda text: f'"{text}"')
_clocks = clocks.map(lambda text: f'"{text}"')
_truths = st.sampled_from(["true", "false", "0", '"true"'])


def _arrays(items: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(items | st.just("null"), max_size=4).map(lambda texts: f"[{','.join(texts)}]") | st.just("null")


_documents = st.recursive(
    anything,
    lambda children: (
        st.lists(children, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | st.lists(st.tuples(names, children), max_size=3).map(
            lambda pairs: "{" + ",".join(f"{spelled(name, False)}: {child}" for name, child in pairs) + "}"
        )
    ),
    max_leaves=6,
)
_TYPICAL: dict[str, st.SearchStrategy[str]] = {
    "event_id": _uuids,
    "price": _decimals,
    "rate": _decimals,
    "count": _decimals,
    "share": _decimals,
    "wide": _decimals,
    "document": _documents.map(lambda text: f'{{"a b":[{text},{text}],"c":{text}}}') | _documents,
    "clock": _clocks,
    "reference": _uuids,
    "millis": _epochs,
    "seconds": _epochs,
    "micros": _epochs,
    "local": moments | _dates | st.sampled_from(['"2013-03-31T02:30:00"', '"2013-10-27T02:30:00"']),
    "moment": moments,
    "day": _dates,
    "pair": _arrays(numbers) | st.just("[1, 2, 3.5]"),
    "code": st.sampled_from(['"a"', '"b"', "null", '"c"']),
    "odd name": st.sampled_from(['"a"', '"b"', "null", "1"]),
    "flag": _truths,
    "small": numbers,
    "texts": _arrays(strings | st.sampled_from([r'"\\"', r'"\""', '"NULL"', '""', '"{a,b}"'])),
    "flags": _arrays(_truths),
    "smalls": _arrays(numbers),
    "bigs": _arrays(numbers),
    "amounts": _arrays(_decimals),
    "dates": _arrays(_dates),
    "clocks": _arrays(_clocks),
    "moments": _arrays(moments),
    "references": _arrays(_uuids),
    "at": moments,
}
_REQUIRED = {
    "meta": '{"key":"k","at":"2013-01-01T10:17:00.123Z","other":1}',
    "event_id": '"6f9619ff-8b86-d011-b42d-00c04fc964ff"',
    "document": '{"a b":[1,"x"]}',
}
_meta = st.one_of(
    st.tuples(strings, moments | st.just("null")).map(lambda pair: f'{{"key":{pair[0]},"at":{pair[1]},"code":"a"}}'),
    anything,
)
_known = st.sampled_from(sorted(_TYPICAL)).flatmap(
    lambda name: st.tuples(st.just(name), st.one_of(_TYPICAL[name], _TYPICAL[name], _TYPICAL[name], anything))
)


@st.composite
def _objects(draw: st.DrawFn) -> bytes:
    pairs = [*_REQUIRED.items(), *draw(st.lists(st.one_of(_known, _known, st.tuples(names, anything)), max_size=4))]
    if draw(st.integers(0, 7)) == 0:
        pairs.append(("meta", draw(_meta)))
    if draw(st.integers(0, 5)):
        # Usually, each field is given once.
        pairs = list(dict(pairs).items())
    space = draw(spaces)
    fields = [
        f"{spelled(name, draw(st.booleans()))}{draw(space)}:{draw(space)}{value}"
        for name, value in draw(st.permutations(pairs))
    ]
    return ("{" + ",".join(fields) + "}" + draw(space)).encode("utf-8", "surrogatepass")


_values = st.one_of(_objects(), _objects(), _objects(), mutated(_objects()), st.binary(max_size=8), st.none())
_keys = st.one_of(st.sampled_from([b"k", b'"k"', b'{"key":"k"}', b"\xff", b"123456789"]), st.none())
_stamps = st.sampled_from([AT, AT, AT, None, datetime(1899, 12, 31, tzinfo=UTC)])


def _contract(tmp_path_factory: pytest.TempPathFactory, text: str) -> Contract:
    file: Path = tmp_path_factory.mktemp("contracts") / f"{text.split()[1]}.yaml"
    file.write_text(text)
    return read_contract(file)


@pytest.fixture(scope="module")
def contract(tmp_path_factory: pytest.TempPathFactory) -> Contract:
    return _contract(tmp_path_factory, CONTRACT)


@pytest.fixture(scope="module")
def nested(tmp_path_factory: pytest.TempPathFactory) -> Contract:
    return _contract(tmp_path_factory, WITHOUT_EXACT_NUMBERS)


def _assert_agreement(contract: Contract, records: Sequence[tuple[bytes | None, datetime | None, bytes | None]]) -> int:
    """Compares columns with events that are read one by one, and returns how many are valid."""
    rows = [dict(zip(RECORDS.names, record, strict=True)) for record in records]
    columns = read_columns(contract, pa.Table.from_pylist(rows, RECORDS))
    expected = columns_module._read_one_by_one(contract, pa.RecordBatch.from_pylist(rows, RECORDS))
    assert columns.is_valid.to_pylist() == expected.is_valid.to_pylist()
    assert columns.reasons == expected.reasons
    assert columns.rows.equals(expected.rows)
    assert _lists(columns.unknown) == _lists(expected.unknown)
    return columns.rows.num_rows


def _lists(unknown: dict[str, Any]) -> dict[str, list[int]]:
    return {name: indices.tolist() for name, indices in unknown.items()}


def _object(fields: dict[str, str]) -> bytes:
    text = "{" + ",".join(f"{spelled(name, False)}:{value}" for name, value in fields.items()) + "}"
    return text.encode("utf-8", "surrogatepass")


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(_values, _stamps, _keys), max_size=6))
def test_objects_agree_with_single_events_on_every_value(
    contract: Contract, records: list[tuple[bytes | None, datetime | None, bytes | None]]
) -> None:
    _assert_agreement(contract, records)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(_values, _stamps, _keys), max_size=6))
@example([(_object(_REQUIRED), AT, None), (None, AT, b"k"), (None, None, b"k"), (None, AT, None)])
def test_objects_agree_with_single_events_where_records_have_the_time_and_delete(
    nested: Contract, records: list[tuple[bytes | None, datetime | None, bytes | None]]
) -> None:
    _assert_agreement(nested, records)


@pytest.mark.parametrize("name", sorted(_TYPICAL))
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_objects_agree_with_single_events_on_every_value_of_a_field(
    contract: Contract, name: str, data: st.DataObject
) -> None:
    # Objects that are valid but for this field: a check that is missing shows in nothing else.
    values = data.draw(st.lists(_TYPICAL[name], min_size=1, max_size=8))
    objects = [_object({**_REQUIRED, name: value}) for value in values]
    _assert_agreement(contract, [(value, AT, None) for value in objects])


TYPICAL = {
    **_REQUIRED,
    "price": "12.50",
    "rate": '"0.125"',
    "count": "9007199254740993",
    "document": '{"a b": [1, {"ratio": 1.50, "quote": "\\"\\\\"}], "é": "\\u00e9", "far": [[[]]]}',
    "clock": '"23:59:59.5"',
    "reference": '"6F9619FF-8B86-D011-B42D-00C04FC964FF"',
    "millis": "1357035420123",
    "seconds": "1357035420.123456789",
    "local": '"2013-01-31"',
    "moment": '"2013-01-31 18:59:59.123456789-05:00"',
    "pair": "[1, 2, 3.25, null]",
    "odd name": '"a"',
    "texts": '["a", "\\"", null, "\\\\"]',
    "amounts": '[1.5, "2", 3]',
    "dates": '["2013-01-31"]',
    "moments": '["2013-01-31T23:59:59Z"]',
    "references": '["6F9619FF-8B86-D011-B42D-00C04FC964FF"]',
    "other": f'{{"unknown": [1e400, -0.0], "line": [{",".join(["[1,2]"] * 300)}]}}',
}


def test_valid_events_of_newer_types_are_not_read_one_by_one(
    contract: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = [_object(_REQUIRED), *(_object({**TYPICAL, "small": str(number)}) for number in range(8))]
    assert _assert_agreement(contract, [(value, AT, None) for value in values]) == len(values)

    def fail(*arguments: Any) -> Any:
        raise AssertionError(arguments)

    monkeypatch.setattr(columns_module, "validate_event", fail)
    rows = [{"value": value, "timestamp": AT, "key": None} for value in values]
    assert read_columns(contract, pa.Table.from_pylist(rows, RECORDS)).rows.num_rows == len(values)


@pytest.mark.parametrize(
    "field",
    [
        '"small":1,"small":1',
        '"small":1,"sm\\u0061ll":2',
        '"other":1,"other":2',
        '"other":{"x":1,"x":1}',
        '"other":[{"x":"\\"","x":"\\u0022\\u0022"}]',
        '"other":[{"x\\\\":1,"x\\\\":":"}]',
        '"document":{"a b":[1,{"x":{"":null,"":"\\u0022x\\u0022"}}]}',
        '"":1,"":2',
    ],
)
def test_a_field_that_is_given_twice_is_found_at_any_depth(contract: Contract, field: str) -> None:
    value = f"{_object(_REQUIRED).decode()[:-1]},{field}}}".encode()
    assert _assert_agreement(contract, [(_object(_REQUIRED), AT, None), (value, AT, None)]) == 1


@pytest.mark.parametrize("depth", [150, 199, 200, 201, 2_000, 200_000])
def test_events_may_be_nested_as_deep_as_events_that_are_read_one_by_one(contract: Contract, depth: int) -> None:
    value = _object({**_REQUIRED, "other": "[" * (depth - 1) + "]" * (depth - 1)})
    assert _assert_agreement(contract, [(value, AT, None)]) == (depth <= 200)


@pytest.mark.parametrize("value", [_object(TYPICAL), b"odd"])
def test_reading_leaves_the_collection_of_cycles_on(contract: Contract, value: bytes) -> None:
    _assert_agreement(contract, [(value, AT, None)])
    assert gc.isenabled()
