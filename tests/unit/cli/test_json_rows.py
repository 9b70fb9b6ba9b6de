"""Rows as JSON: one printable line each, whatever a record holds."""

import json
from datetime import UTC, date, datetime

import pyarrow as pa
import pytest

from cli.json_rows import json_row, python_value

DEEP = b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"


def shown(value: bytes | None) -> object:
    line = json_row({"value": value}, documents=["value"])
    assert line.isprintable()
    return json.loads(line)["value"]


def test_an_object_is_embedded_as_the_producer_wrote_it() -> None:
    value = b'{"a":1.0,\n\t"a":' + b"9" * 5_000 + b',"b":"\\ud800\\u0000"}'
    line = json_row({"value": value}, documents=["value"])
    assert line == '{"value": {"a":1.0,  "a":' + "9" * 5_000 + ',"b":"\\ud800\\u0000"}}'


@pytest.mark.parametrize(
    "value",
    [
        b"null",
        b"1",
        b"[1]",
        b'"a"',
        b"{",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b"\x1b[31mred\nforged: line",
        "\u202e reversed \u2028".encode(),
        b'{"a":"\x00"}',
        DEEP,
        b"x" * 1_000_000,
    ],
)
def test_anything_else_is_text(value: bytes) -> None:
    assert shown(value) == value.decode()


def test_invalid_utf_8_is_base64() -> None:
    assert shown(b"\xff\xfe") == {"base64": "//4="}
    assert shown("\ud800".encode("utf-8", "surrogatepass")) == {"base64": "7aCA"}


def test_a_missing_value_differs_from_one_that_is_null() -> None:
    assert shown(None) is None
    assert shown(b"null") == "null"


def test_control_characters_in_an_object_keep_their_meaning() -> None:
    assert shown('{"\x7f\u202e":"\x9b"}'.encode()) == {"\x7f\u202e": "\x9b"}


def test_keys_dates_and_times() -> None:
    moment = datetime(2013, 1, 1, 10, tzinfo=UTC)
    row = {"key": b"\x00\xff", "event_date": date(2013, 1, 1), "timestamp": moment, "offset": 3, "odd": "infinity"}
    assert json.loads(json_row(row, documents=["value"])) == {
        "key": {"base64": "AP8="},
        "event_date": "2013-01-01",
        "timestamp": "2013-01-01T10:00:00+00:00",
        "offset": 3,
        "odd": "infinity",
    }


def test_a_time_that_python_does_not_have_is_its_number() -> None:
    assert python_value(pa.scalar(2**62, pa.timestamp("ms", "UTC"))) == 2**62
    assert python_value(pa.scalar(2**30, pa.date32())) == 2**30
    assert python_value(pa.scalar(0, pa.timestamp("ms", "UTC"))) == datetime(1970, 1, 1, tzinfo=UTC)
