"""Values become typed columns; an invalid value affects only itself and gets a reason."""

import json
import random
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from sluice.contracts import load_contracts
from sluice.load.columns import read_columns
from sluice.settings import ROOT

CONTRACT = load_contracts(ROOT / "contracts")["flights.departed"]
EVENT: dict[str, Any] = {
    "event_id": "UA1545-20130101T10/departed",
    "flight_id": "UA1545-20130101T10",
    "carrier": "UA",
    "flight_number": 1545,
    "tail_number": None,
    "origin": "EWR",
    "dest": "IAH",
    "distance_miles": 1400,
    "scheduled_at": "2013-01-01T10:15:00Z",
    "departed_at": "2013-01-01T10:17:00Z",
    "departure_delay_minutes": 2,
}
GOOD = json.dumps(EVENT).encode()

INVALID = {
    "null": (None, "no value"),
    "empty": (b"", "not JSON: Expecting value at character 0"),
    "text": (b"nope", "not JSON: Expecting value at character 0"),
    "cut short": (GOOD[:-1], "not JSON: Expecting ',' delimiter at character"),
    "two objects": (GOOD + GOOD, "not JSON: Extra data at character"),
    "list": (b"[1]", "expected an object, found [1]"),
    "number": (b"5", "expected an object, found 5"),
    "empty object": (b"{}", "event_id: missing, but it is required"),
    "field twice": (b'{"event_id": "a", "event_id": "b"}', "event_id: given twice"),
    "null field": (GOOD.replace(b'"UA"', b"null"), "carrier: null, but it is required"),
    "number for text": (GOOD.replace(b'"UA"', b"5"), "carrier: expected string, found 5"),
    "text for number": (GOOD.replace(b"1400", b'"1400"'), 'distance_miles: expected int32, found "1400"'),
    "fraction": (GOOD.replace(b"1400", b"1.5"), "distance_miles: expected int32, found 1.5"),
    "beyond int32": (GOOD.replace(b"1400", b"3000000000"), "distance_miles: expected int32, found 3000000000"),
    "beyond int64": (GOOD.replace(b"1400", b"9" * 30), "distance_miles: expected int32, found 9999"),
    "too many digits": (GOOD.replace(b"1400", b"9" * 5000), "not JSON: Exceeds the limit"),
    "true for number": (GOOD.replace(b"1400", b"true"), "distance_miles: expected int32, found true"),
    "not a number": (GOOD.replace(b"1400", b"NaN"), "not JSON: NaN"),
    "not a number in an unknown field": (json.dumps({**EVENT, "gate": float("inf")}).encode(), "not JSON: Infinity"),
    "unknown field twice": (GOOD[:-1] + b', "gate": 1, "gate": 2}', "gate: given twice"),
    "below minimum": (GOOD.replace(b"1400", b"-1"), "distance_miles: -1 is below the minimum 0"),
    "no time": (GOOD.replace(b"2013-01-01T10:15:00Z", b"today"), 'scheduled_at: expected timestamp, found "today"'),
    "no such day": (GOOD.replace(b"2013-01-01T10:15", b"2013-02-30T10:15"), "scheduled_at: expected timestamp, found"),
    "no zone": (GOOD.replace(b"10:15:00Z", b"10:15:00"), "scheduled_at: expected timestamp, found"),
    "another letter for T": (GOOD.replace(b"01T10:15", b"01_10:15"), "scheduled_at: expected timestamp, found"),
    "another zone": (GOOD.replace(b"10:15:00Z", b"10:15:00X"), "scheduled_at: expected timestamp, found"),
    "letter in time": (GOOD.replace(b"10:15:00Z", b"10:15:0xZ"), "scheduled_at: expected timestamp, found"),
    "sign in time": (GOOD.replace(b"10:15:00Z", b"10:15:+1Z"), "scheduled_at: expected timestamp, found"),
    "no such hour": (GOOD.replace(b"01T10:15", b"01T24:15"), "scheduled_at: expected timestamp, found"),
    "no such second": (GOOD.replace(b"10:15:00Z", b"10:15:60Z"), "scheduled_at: expected timestamp, found"),
    "not UTF-8": (GOOD.replace(b'"UA"', b'"\xff"'), "not JSON: not UTF-8 at byte"),
    "offset beyond an hour": (GOOD.replace(b"10:15:00Z", b"10:15:00+00:99"), "scheduled_at: expected timestamp, found"),
    "offset beyond a day": (GOOD.replace(b"10:15:00Z", b"10:15:00+24:00"), "scheduled_at: expected timestamp, found"),
    "digits of another script": (
        GOOD.replace(b"2013-01-01T10:15", "２０１３-01-01T10:15".encode()),
        "scheduled_at: expected timestamp, found",
    ),
    "line break after time": (GOOD.replace(b"10:15:00Z", b"10:15:00Z\\n"), "scheduled_at: expected timestamp, found"),
    "year 0": (GOOD.replace(b"2013-01-01T10:15", b"0000-01-01T10:15"), "scheduled_at: expected timestamp, found"),
    "year 1": (GOOD.replace(b"2013-01-01T10:15", b"0001-01-01T10:15"), "scheduled_at: outside the years 1900 to 2199"),
    "year 9999": (
        GOOD.replace(b"2013-01-01T10:15:00Z", b"9999-12-31T23:59:59.999999-23:59"),
        "scheduled_at: outside the years 1900 to 2199",
    ),
    "long id": (GOOD.replace(b"UA1545-20130101T10/", b"x" * 6_000), "event_id: longer than"),
    "long key": (GOOD.replace(b'"UA1545-20130101T10"', b'"%s"' % (b"x" * 6_000)), "flight_id: longer than"),
    "long code": (GOOD.replace(b'"UA"', b'"%s"' % (b"x" * 6_000)), "carrier: longer than"),
    "NUL twice as a field": (GOOD[:-1] + rb', "\u0000": 1, "\u0000": 2}', r"\x00: given twice"),
    "half a pair twice as a field": (GOOD[:-1] + rb', "\ud800": 1, "\ud800": 2}', r"\ud800: given twice"),
    "long name twice": (GOOD[:-1] + b', "%s": 1, "%s": 2}' % (b"x" * 9_000, b"x" * 9_000), f"{'x' * 60}…: given twice"),
    "deep in an unknown field": (
        GOOD[:-1] + b', "gate": ' + b"[" * 300 + b"]" * 300 + b"}",
        "not JSON: nested too deep",
    ),
    "NUL": (GOOD.replace(b'"UA"', b'"\\u0000"'), "carrier: holds a character that no text column can hold"),
    "half a pair": (GOOD.replace(b'"UA"', b'"\\ud800"'), "carrier: holds a character that no text column can hold"),
    "deep": (b"[" * 100_000, "not JSON: nested too deep"),
}
VALID = {
    "plain": GOOD,
    "line breaks": json.dumps(EVENT, indent=2).encode(),
    "space around": b" " + GOOD + b"\r\n",
    "unknown field": json.dumps({**EVENT, "gate": {"name": "A1"}}).encode(),
    "no nullable field": json.dumps({k: v for k, v in EVENT.items() if k != "tail_number"}).encode(),
    "other script": json.dumps({**EVENT, "tail_number": "Ω✈"}, ensure_ascii=False).encode(),
    "another time than the record's": GOOD.replace(b"10:17:00Z", b"10:18:00Z"),
    "nine digits of a second": GOOD.replace(b"10:15:00Z", b"10:15:00.123456789Z"),
    "fraction and zone": GOOD.replace(b"10:15:00Z", b"10:15:00.5+02:00"),
}


TIMESTAMP = datetime(2013, 1, 1, 10, 17, tzinfo=UTC)


def _read(values: list[bytes | None], timestamp: datetime | None = TIMESTAMP) -> Any:
    stamps = pa.array([timestamp] * len(values), pa.timestamp("us", tz="UTC"))
    keys = pa.nulls(len(values), pa.binary())
    return read_columns(CONTRACT, pa.table({"value": pa.array(values, pa.binary()), "timestamp": stamps, "key": keys}))


def test_a_valid_value_becomes_a_typed_row() -> None:
    columns = _read([GOOD])
    assert columns.rows.to_pylist() == [
        EVENT
        | {
            "scheduled_at": datetime(2013, 1, 1, 10, 15, tzinfo=UTC),
            "departed_at": datetime(2013, 1, 1, 10, 17, tzinfo=UTC),
        }
    ]


@pytest.mark.parametrize("case", INVALID)
def test_an_invalid_value_has_a_reason(case: str) -> None:
    value, reason = INVALID[case]
    columns = _read([value])
    assert columns.rows.num_rows == 0
    assert columns.is_valid.to_pylist() == [False]
    assert columns.reasons[0].startswith(reason)


@pytest.mark.parametrize("case", VALID)
def test_a_valid_value_is_read_in_any_notation(case: str) -> None:
    columns = _read([VALID[case]])
    assert columns.reasons == []
    assert columns.rows["event_id"].to_pylist() == [EVENT["event_id"]]


def test_a_record_without_a_timestamp_is_valid_if_the_event_time_is_a_column() -> None:
    assert _read([GOOD], None).reasons == []


def test_digits_beyond_the_microsecond_are_cut() -> None:
    columns = _read([GOOD.replace(b"10:15:00Z", b"10:15:00.999999999Z")])
    assert columns.rows["scheduled_at"].to_pylist() == [datetime(2013, 1, 1, 10, 15, 0, 999_999, UTC)]


def test_an_invalid_value_affects_only_itself() -> None:
    numbered = [json.dumps({**EVENT, "flight_number": number + 1}).encode() for number in range(40_000)]
    values: list[tuple[bytes | None, bool]] = [(value, True) for value in (*numbered, *VALID.values())]
    values += [(value, False) for value, _ in INVALID.values()]
    random.Random(7).shuffle(values)

    columns = _read([value for value, _ in values])

    assert columns.is_valid.to_pylist() == [good for _, good in values]
    expected = [json.loads(value)["flight_number"] for value, good in values if good and value]
    assert columns.rows["flight_number"].to_pylist() == expected
    assert len(columns.reasons) == len(INVALID)


def test_no_values_yield_no_rows() -> None:
    columns = _read([])
    assert (columns.rows.num_rows, len(columns.is_valid), columns.reasons) == (0, 0, [])
