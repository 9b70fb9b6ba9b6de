"""Errors in a contract name the file, line, key and expected value; derived names follow from the contract."""

import re
from datetime import timedelta
from pathlib import Path

import pytest

from sluice.contracts import Contract, get_contract, load_contracts, read_contract
from sluice.errors import TerminalError
from sluice.settings import ROOT

DEPARTED = (ROOT / "contracts" / "flights.departed.yaml").read_text()


def test_all_contracts_of_the_project_load() -> None:
    contracts = load_contracts(ROOT / "contracts")
    assert list(contracts) == sorted(path.stem for path in (ROOT / "contracts").glob("*.yaml"))
    departed = contracts["flights.departed"]
    assert (departed.table, departed.dag_id) == ("flights_departed", "load_flights_departed")
    assert departed.lateness == timedelta(hours=48)


@pytest.mark.parametrize(
    ("original", "replacement", "line", "message"),
    [
        ("partitions: 4", "partitions: four", 5, "topic.partitions: Input should be a valid integer, found 'four'"),
        ("partitions: 4", "partitions: 0", 5, "topic.partitions: Input should be greater than or equal to 1, found 0"),
        ("type: int32", "type: int33", 29, "columns.3.type: expected string, boolean, int32"),
        ("type: int32", "type: decimal(5, 6)", 29, "columns.3.type: expected decimal(p, s) with 1 <= p <= 1000"),
        ("type: int32", "type: array(json)", 29, "columns.3.type: expected an array of another type than json"),
        ("    minimum: 1\n", "    from: a..b\n", 31, "columns.3.from.0: expected a path such as properties.mag"),
        ("    minimum: 1\n", "    format: epoch_ms\n", 28, "format applies only to timestamp, not to int32"),
        ("    minimum: 1\n", "    enum: [a]\n", 28, "enum applies only to string, not to int32"),
        ("max_length: 8", "pattern: '('", 25, "columns.2.pattern: expected a regular expression"),
        ("max_length: 8", "enum: []", 25, "columns.2.enum: Tuple should have at least 1 item"),
        (
            "name: scheduled_at\n",
            "name: scheduled_at\n    zone: Mars\n",
            54,
            "expected a time zone such as Europe/Vienna",
        ),
        ("key: flight_id", "key: flight_id\nid: flight", 8, "id: flight: expected a column with nullable: false"),
        ("key: flight_id", "key: flight_id\ndeletes: tombstone", 8, "deletes: expected an id that is the key"),
        (
            "key: flight_id",
            "key: flight_id\nid: flight_id\ndeletes: tombstone",
            9,
            "deletes: expected keep: last as well",
        ),
        (
            "key: flight_id",
            "key: flight_id\nid: flight_id\nkeep: first\ndeletes: tombstone",
            10,
            "deletes: expected keep: last as well",
        ),
        ("partitions: 4", "partitions: 4\n  name: a b", 6, "topic.name: String should match pattern"),
        ("48h", "soon", 9, "lateness: expected a number and a unit, such as 30m, 48h or 7d"),
        ('"*/2 * * * *"', '"hourly"', 13, 'load.schedule: expected five cron fields, such as "*/2 * * * *"'),
        ("owner: flight-operations\n", "", 1, "owner: Field required"),
        ("owner: flight-operations", f"owner: {'a' * 201}", 3, "owner: String should have at most 200 characters"),
        ("  - name: carrier\n", "  - nam: carrier\n", 23, "columns.2.nam: Extra inputs are not permitted"),
        ("key: flight_id", "key: flight", 7, "key: flight: expected a column with nullable: false"),
        (
            "event_time: departed_at",
            "event_time: carrier",
            8,
            "event_time: expected record, or the name of a timestamp",
        ),
        ("name: carrier", "name: origin", 37, "columns.5.name: origin is declared twice"),
        ("    minimum: 1\n", "    minimum: 5\n    maximum: 4\n", 28, "expected minimum <= maximum, found 5 > 4"),
        (
            "max_length: 8",
            "max_length: 0",
            25,
            "columns.2.max_length: Input should be greater than or equal to 1, found 0",
        ),
        ("    minimum: 1\n", "    max_length: 1\n", 28, "max_length applies only to string, not to int32"),
        (
            "    minimum: 1\n",
            "    years: {first: 1, last: 2}\n",
            28,
            "years applies only to date, timestamp, not to int32",
        ),
        (
            "name: scheduled_at\n",
            "name: scheduled_at\n    years: {first: 2014, last: 2013}\n",
            54,
            "expected first <= last",
        ),
        (
            "name: flight_id\n",
            "name: flight_id\n    max_length: 601\n",
            20,
            "columns.1.max_length: flight_id is a key: expected at most 600",
        ),
        ("stream: flights.departed", "stream: flights.left", 1, "expected flights.departed to match the file name"),
        ("stream: flights.departed", "stream: [", None, "invalid YAML"),
        ('"*/2 * * * *"', '"61 * * * *"', 13, "load.schedule: expected five cron fields"),
        ('"*/2 * * * *"', '"*/0 * * * *"', 13, "load.schedule: expected five cron fields"),
        ('"*/2 * * * *"', '"0 0 * * MOO"', 13, "load.schedule: expected five cron fields"),
        ('"*/2 * * * *"', '"0 0 31 2 *"', 13, "expected a schedule with a date that exists"),
        ('"*/2 * * * *"', '"0 0 31 4,6 *"', 13, "expected a schedule with a date that exists"),
        ("48h", "99999999999d", 9, "lateness: expected at most 36500d"),
        ("last: 2014-01-01", "last: 9999-12-31", 11, "history.last: Input should be less than or equal to"),
        ("last: 2014-01-01", "last: 2013-02-31", 11, "2013-02-31: day is out of range for month"),
        ("    minimum: 1\n", "    maximum: .inf\n", 31, "columns.3.maximum: expected a finite number, found inf"),
        ("    minimum: 1\n", "    minimum: .nan\n", 31, "columns.3.minimum: expected a finite number, found nan"),
        ("    minimum: 1\n", "    minimum: 0.5\n", 31, "columns.3.minimum: expected an integer from -2147483648 to"),
        ("    minimum: 1\n", "    maximum: 1e10\n", 31, "columns.3.maximum: expected an integer from -2147483648 to"),
        ("    minimum: 1\n", "    minimum: 010\n", 31, "minimum: 010 is ambiguous"),
        ("    minimum: 1\n", "    minimum: 1:30\n", 31, "minimum: 1:30 is ambiguous"),
        ("name: carrier", "name: xmin", 23, "columns.2.name: expected another name: every Postgres table has"),
        ("name: carrier", "name: ctid", 23, "columns.2.name: expected another name: every Postgres table has"),
        ("name: carrier", "name: _offset", 23, "columns.2.name: String should match pattern"),
        ("name: carrier", f"name: {'c' * 64}", 23, "columns.2.name: String should have at most 63 characters"),
        ("owner: flight-operations", "owner: no", 3, 'found no; to make it a string, write it in quotes: "no"'),
        ("owner: flight-operations", "owner: 2013-01-01", 3, 'write it in quotes: "2013-01-01"'),
        ("owner: flight-operations", "owner:", 3, "owner: Input should be a valid string, found nothing"),
        ("owner: flight-operations", "owner: a\nowner: b", 4, "owner: given twice, first on line 3"),
        ("    minimum: 1\n", "    minimum: 1\n    minimum: 2\n", 32, "minimum: given twice, first on line 31"),
        ("owner: flight-operations", "owner: &o a", 3, "anchors and aliases (& and *) are not allowed"),
        ("topic:\n", "topic:\n  <<: {partitions: 4}\n", 5, "merge keys (<<) are not allowed"),
        ("owner: flight-operations", f"owner: {'[' * 1000}{']' * 1000}", 3, "nested deeper than 20 levels"),
        ("owner: flight-operations", f"owner: {'9' * 5000}", 3, "integer string conversion"),
        ("owner: flight-operations", "owner: a\n---\nowner: b", 4, "invalid YAML"),
        ("owner: flight-operations", "owner: \x00", 3, "invalid YAML: character U+0000"),
        (
            "owner: flight-operations",
            "owner: !!python/name:os.system",
            3,
            "tags (tag:yaml.org,2002:python/name:os.system)",
        ),
        ("owner: flight-operations", "? [a]\n: b", 3, "expected a name as the key"),
    ],
)
def test_an_invalid_contract_is_rejected_with_file_line_key_and_expected_value(
    tmp_path: Path, original: str, replacement: str, line: int | None, message: str
) -> None:
    path = tmp_path / "flights.departed.yaml"
    assert original in DEPARTED
    path.write_text(DEPARTED.replace(original, replacement, 1))
    with pytest.raises(TerminalError) as error:
        read_contract(path)
    text = str(error.value)
    assert text.startswith(str(path))
    assert message in text
    assert "\n" not in text
    if line is not None:
        assert re.search(rf"line {line}\b", text), text


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        (b"", 1, "expected a contract, found an empty file"),
        (b"# only a comment\n", 1, "expected a contract, found an empty file"),
        (b"stream: a.b", 1, "description: Field required"),
        (b"- stream\n", 1, "Input should be a valid dictionary"),
        (b"just text", 1, "Input should be a valid dictionary"),
        (b"stream: a.b\nowner: [" + b"1," * 30_000 + b"]", 2, "expected at most 20,000 keys and values"),
        (b"stream: a.b\nowner: \xff\n", 2, "expected UTF-8, found byte 0xff"),
        (b"stream: a.b\n" + b"#" * (256 << 10), 1, "expected at most 262,144 bytes"),
    ],
)
def test_a_file_that_is_no_contract_at_all_is_rejected_with_its_line(
    tmp_path: Path, content: bytes, line: int, message: str
) -> None:
    path = tmp_path / "a.b.yaml"
    path.write_bytes(content)
    with pytest.raises(TerminalError, match=rf"a\.b\.yaml: line {line}: .*{re.escape(message)}"):
        read_contract(path)


def test_a_bound_is_a_value_of_its_columns_type(tmp_path: Path) -> None:
    path = tmp_path / "flights.departed.yaml"
    large = (1 << 53) + 1
    path.write_text(DEPARTED.replace("    minimum: 1\n", f"    minimum: {large}\n", 1).replace("int32", "int64"))
    column = read_contract(path).column("flight_number")
    assert column is not None and column.minimum == large and isinstance(column.minimum, int)
    path.write_text(path.read_text().replace("int64", "float64", 1))
    with pytest.raises(TerminalError, match=f"minimum: expected a number that float64 holds exactly, found {large}"):
        read_contract(path)


def test_a_schedule_may_name_days_and_months(tmp_path: Path) -> None:
    path = tmp_path / "flights.departed.yaml"
    path.write_text(DEPARTED.replace('"*/2 * * * *"', '"0,30 6-18/2 * JAN-MAR MON-FRI"', 1))
    assert read_contract(path).load.schedule == "0,30 6-18/2 * JAN-MAR MON-FRI"


def test_a_folder_that_does_not_exist_is_an_error_and_one_without_contracts_is_not(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", Path(__file__)):
        with pytest.raises(TerminalError, match=r"no contracts found: there is no such folder. Hint: set SLUICE_CONTR"):
            load_contracts(path)
    # The last contract was removed.
    contracts = load_contracts(tmp_path)
    assert (dict(contracts), contracts.invalid, contracts.known_topics()) == ({}, (), {})
    with pytest.raises(TerminalError, match=r"unknown stream 'a\.b'. Hint: add its contract, and run `make up`"):
        get_contract(contracts, "a.b")


def test_the_error_for_an_unknown_stream_lists_the_known_ones() -> None:
    with pytest.raises(TerminalError, match=r"unknown stream 'flights.lost'.*flights.arrived, flights.cancelled"):
        get_contract(load_contracts(ROOT / "contracts"), "flights.lost")


def test_a_date_as_the_event_time_is_an_error_that_names_the_type_that_reads_it() -> None:
    column = {"name": "day", "type": "date", "nullable": False, "description": "-"}
    contract = {
        "stream": "a.b",
        "description": "-",
        "owner": "you",
        "event_time": "day",
        "lateness": "1h",
        "topic": {"partitions": 1, "retention_bytes": 1 << 20},
        "load": {"schedule": "0 0 * * *"},
    }
    with pytest.raises(ValueError, match=r"expected record, .* a timestamp with a zone reads dates, too"):
        Contract.model_validate({**contract, "columns": [column]})
    column |= {"type": "timestamp", "zone": "UTC"}
    assert Contract.model_validate({**contract, "columns": [column]}).event_time == "day"


def test_what_is_derived_from_a_contract_is_derived_again_from_its_copy() -> None:
    contract = get_contract(load_contracts(ROOT / "contracts"), "flights.departed")
    assert contract.id_columns == ("event_id",)
    assert contract.fields
    copy = contract.model_copy(update={"id": ("carrier",), "columns": contract.columns[:3]})
    assert copy.id_columns == ("carrier",)
    assert copy.fields == {column.name for column in contract.columns[:3]}
    assert contract.id_columns == ("event_id",)
