"""Files are read as one JSON text per event, without the loss of a digit."""

import json
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from producers.files import open_records
from sluice.errors import TerminalError
from tests.fixtures.quakes import COUNT, QUAKES


def texts(path: Path, kinds: dict[str, str] | None = None) -> list[bytes]:
    records = open_records(path, kinds)
    return records.texts(range(len(records)))


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.jsonl", b'{"a": 1.10}\r\n\n \t\n {"a":2}', [b'{"a": 1.10}', b' {"a":2}']),
        ("a.ndjson", b'\xef\xbb\xbf{"a":1}\nnot JSON\n\xff\n', [b'{"a":1}', b"not JSON", b"\xff"]),
        ("a.json", b' [ {"a": 1.10} ,\n{"b":"\xc3\xa9"} ] ', [b'{"a": 1.10}', b'{"b":"\xc3\xa9"}']),
        ("a.json", b'{"a": 1e2}', [b'{"a": 1e2}']),
        ("a.json", b'{"a": 1}\n{"a": 2}\n', [b'{"a": 1}', b'{"a": 2}']),
        ("a.json", b'[1, "a", null]', [b"1", b'"a"', b"null"]),
        (
            "a.geojson",
            b'{"features": [{"id": 1.0}, {"id": 2}], "type": "FeatureCollection", "bbox": [1]}',
            [b'{"id": 1.0}', b'{"id": 2}'],
        ),
        ("a.json", b'{"type": "Feature", "features": [1]}', [b'{"type": "Feature", "features": [1]}']),
        (
            "a.JSON",
            b'{"type": "FeatureCollection", "features": {}}',
            [b'{"type": "FeatureCollection", "features": {}}'],
        ),
    ],
)
def test_an_event_of_a_json_file_has_its_text(tmp_path: Path, name: str, content: bytes, expected: list[bytes]) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert texts(path) == expected


def test_the_features_of_a_real_collection() -> None:
    features = json.loads(QUAKES.read_text())["features"]
    assert len(features) == COUNT
    assert [json.loads(text) for text in texts(QUAKES)] == features
    content = QUAKES.read_bytes()
    assert all(text in content for text in texts(QUAKES))


def test_the_fields_of_a_csv_file_are_what_all_of_their_column_are(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        "\ufeffid,zip,amount,ok,at,note\n"
        '1,01234,12.50,True,2018-02-07 01:26,"a ""b"",\nc"\n'
        "2,1234,.5,false,2018-02-07T01:26:13.5Z,\n"
        '3,99,NA,,2018-02-07 01:26:13+01:00,""\n'
    )
    assert texts(path) == [
        b'{"id":1,"zip":"01234","amount":12.50,"ok":true,"at":"2018-02-07T01:26:00","note":"a \\"b\\",\\nc"}',
        b'{"id":2,"zip":"1234","amount":0.5,"ok":false,"at":"2018-02-07T01:26:13.5Z","note":null}',
        b'{"id":3,"zip":"99","amount":null,"ok":null,"at":"2018-02-07T01:26:13+01:00","note":""}',
    ]


def test_a_contract_says_what_the_fields_of_a_csv_file_are(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('code,amount,tags,ok\n7,007,"[1.50]",yes\n8,many,x,true\n')
    kinds = {"code": "string", "amount": "number", "tags": "json", "ok": "boolean"}
    assert texts(path, kinds) == [
        b'{"code":"7","amount":7,"tags":[1.50],"ok":"yes"}',
        b'{"code":"8","amount":"many","tags":"x","ok":true}',
    ]


@pytest.mark.parametrize("codes", [("12e4567890", "3e12345678"), ("12e456", "3e12"), ("9e99", "1e999")])
def test_codes_that_look_like_numbers_beyond_a_float_stay_text(tmp_path: Path, codes: tuple[str, str]) -> None:
    path = tmp_path / "a.csv"
    path.write_text("hash\n{}\n{}\n".format(*codes))
    assert [json.loads(text)["hash"] for text in texts(path)] == list(codes)


def test_an_exponent_of_any_length_is_read_at_once_where_a_contract_wants_a_number(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a\n+1e3\n+1e999999999\n")
    assert texts(path, {"a": "number"}) == [b'{"a":1000}', b'{"a":"+1e999999999"}']


UUID = "6f9619ff-8b86-d011-b42d-00cf4fc964ff"


@pytest.mark.parametrize("value", ["2020-03-01", "23:59:59.5", UUID])
@pytest.mark.parametrize("kinds", [{}, {"a": "value"}], ids=["from the values", "from the contract"])
def test_a_date_a_time_and_a_uuid_can_be_null(tmp_path: Path, value: str, kinds: dict[str, str]) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f'id,a\n1,{value}\n2,NA\n3,NULL\n4,\n5,""\n')
    assert [json.loads(text)["a"] for text in texts(path, kinds)] == [value, None, None, None, None]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("NaN", "null"),
        ("NA", "null"),
        ("Infinity", '"Infinity"'),
        ("-Infinity", '"-Infinity"'),
        ("[NaN]", '"[NaN]"'),
        ("[" * 100_000, f'"{"[" * 100_000}"'),
    ],
    ids=lambda text: text[:12],
)
def test_a_field_for_json_that_is_not_json_is_null_or_a_text(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"id,a\n1,{text}\n")
    assert texts(path, {"id": "number", "a": "json"}) == [f'{{"id":1,"a":{expected}}}'.encode()]


def test_timestamps_are_read_as_databases_export_them(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    zones = ["", "Z", " UTC", "+00", "-0530", "+05:30"]
    path.write_text("id,at\n0,NULL\n" + "".join(f"1,2018-01-31 10:00:00{zone}\n" for zone in zones))
    expected = ["", "Z", "Z", "+00:00", "-05:30", "+05:30"]
    assert [json.loads(text)["at"] for text in texts(path)] == [
        None,
        *(f"2018-01-31T10:00:00{zone}" for zone in expected),
    ]


def test_a_delimiter_in_quotes_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('"Last, First, Middle";age\n"a,b,c";3\n')
    assert texts(path) == [b'{"Last, First, Middle":"a,b,c","age":3}']


@pytest.mark.parametrize(
    "column",
    [
        pa.array([2**60], pa.timestamp("us")),
        pa.array([2**31 - 1], pa.date32()),
        pa.array([0], pa.timestamp("us", "Nowhere/There")),
    ],
    ids=["timestamp", "date", "zone"],
)
def test_a_value_that_python_does_not_have_is_one_line(tmp_path: Path, column: pa.Array) -> None:
    path = tmp_path / "a.parquet"
    parquet.write_table(pa.table({"odd": column}), path)
    with pytest.raises(TerminalError, match='the file\'s column "odd" cannot be read: '):
        texts(path)


@pytest.mark.parametrize(("name", "delimiter"), [("a.csv", ";"), ("a.tsv", "\t"), ("a.csv", "|")])
def test_fields_may_be_delimited_by_something_else(tmp_path: Path, name: str, delimiter: str) -> None:
    path = tmp_path / name
    path.write_text(f"a{delimiter}b\n1,5{delimiter}2\n")
    assert texts(path) == [b'{"a":"1,5","b":2}']


def test_the_values_of_a_parquet_file_are_exact(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    columns = {
        "amount": pa.array([Decimal("12345678901234567.50"), None], pa.decimal128(20, 2)),
        "big": pa.array([2**64 - 1, 0], pa.uint64()),
        "half": [0.1, float("nan")],
        "at": pa.array([1517966773840123456, 0], pa.timestamp("ns", "America/New_York")),
        "local": pa.array([datetime(2018, 2, 7), None], pa.timestamp("us")),  # noqa: DTZ001 - without a zone
        "day": [date(2018, 2, 7), None],
        "clock": [time(1, 2, 3), None],
        "nested": [{"x": [Decimal("1.10")], "at": datetime(2018, 2, 7, tzinfo=UTC)}, None],
        "bytes": [b"\xff", None],
        "odd name": ["é\n", None],
    }
    parquet.write_table(pa.table(columns), path)
    first, second = texts(path)
    assert first.decode() == (
        '{"amount":12345678901234567.50,"big":18446744073709551615,"half":0.1,"at":"2018-02-07T01:26:13.840123Z",'
        '"local":"2018-02-07T00:00:00","day":"2018-02-07","clock":"01:02:03",'
        '"nested":{"x":[1.10],"at":"2018-02-07T00:00:00Z"},"bytes":"/w==","odd name":"é\\n"}'
    )
    fields = json.loads(second)
    assert list(fields) == list(columns)
    assert {name for name, value in fields.items() if value is not None} == {"big", "at"}


def test_a_parquet_file_declares_its_decimals(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    decimal = pa.decimal128(38, 9)
    table = pa.table(
        {
            "amount": pa.array([None], decimal),
            "many": pa.array([None], pa.list_(pa.decimal128(5, 2))),
            "place": pa.array([None], pa.struct([("height", pa.decimal256(60, 2)), ("name", pa.string())])),
            "deep": pa.array([None], pa.list_(pa.struct([("height", decimal)]))),
            "half": [0.5],
        }
    )
    parquet.write_table(table, path)
    assert open_records(path).types == {
        ("amount",): "decimal(38, 9)",
        ("many",): "array(decimal(5, 2))",
        ("place", "height"): "decimal(60, 2)",
    }


@pytest.mark.parametrize("name", ["a.parquet", "a.csv"])
def test_rows_come_in_the_order_in_which_they_are_asked_for(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "a.csv":
        path.write_text("a\n1\n2\n3\n")
    else:
        parquet.write_table(pa.table({"a": [1, 2, 3]}), path)
    assert open_records(path).texts([2, 0]) == [b'{"a":3}', b'{"a":1}']


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.xls", "", "unknown format. Hint: give a file that ends with .jsonl"),
        ("a.json", "", "has no events"),
        ("a.json", "[]", "has no events"),
        ("a.jsonl", "\n \n", "has no events"),
        ("a.csv", "a,b\n", "has no events"),
        ("a.csv", "", "Empty CSV file"),
        ("a.json", '{"type":"FeatureCollection","features":[]}', "has no events"),
        ("a.json", "[1,2", "invalid JSON: Expecting ',' delimiter at line 1, column 5"),
        ("a.json", '[1]\n{"a": 1}', "invalid JSON: Extra data at line 2, column 1"),
        ("a.json", '{"a": 1', "invalid JSON: Expecting ',' delimiter at line 1"),
        ("a.json", "[" * 100_000, "invalid JSON: nested too deep"),
        ("a.csv", "a,b\n1,2,3\n", "Expected 2 columns, got 3"),
        ("a.csv", "a,a\n1,2\n", "the column 'a' is there twice"),
        ("a.csv", "a,,\n1,,\n", "the column '' is there twice"),
        ("a.parquet", "x", "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_is_an_error_of_one_line(
    tmp_path: Path, name: str, content: str, message: str
) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(TerminalError) as error:
        open_records(path)
    assert message in str(error.value)
    assert name in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_file_and_a_folder_are_errors(tmp_path: Path) -> None:
    (tmp_path / "b.json").mkdir()
    for name, problem in (("a.csv", "No such file"), ("a.json", "No such file"), ("b.json", "Is a directory")):
        with pytest.raises(TerminalError, match=problem):
            open_records(tmp_path / name)
