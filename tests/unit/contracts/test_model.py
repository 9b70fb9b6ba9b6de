"""Errors in a contract name the file, line, key and expected value; derived names follow from the contract."""

import re
from datetime import timedelta
from pathlib import Path

import pytest

from sluice.contracts import get_contract, load_contracts, read_contract
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
        ("type: int32", "type: int33", 29, "columns.3.type: Input should be 'string', 'boolean'"),
        ("48h", "soon", 9, "lateness: expected a number and a unit, such as 30m, 48h or 7d"),
        ('"*/2 * * * *"', '"hourly"', 13, 'load.schedule: expected five cron fields, such as "*/2 * * * *"'),
        ("owner: flight-operations\n", "", 1, "owner: Field required"),
        ("  - name: carrier\n", "  - nam: carrier\n", 23, "columns.2.nam: Extra inputs are not permitted"),
        ("key: flight_id", "key: flight", 1, "key: expected the name of a string column with nullable: false"),
        ("event_time: departed_at", "event_time: carrier", 1, "event_time: expected the name of a timestamp column"),
        ("name: carrier", "name: origin", 1, "columns: origin is declared twice"),
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
            "years applies only to timestamp, date, not to int32",
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
            1,
            "flight_id is a key: expected max_length <= 600",
        ),
        ("stream: flights.departed", "stream: flights.left", 1, "expected flights.departed to match the file name"),
        ("stream: flights.departed", "stream: [", None, "invalid YAML"),
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


def test_a_folder_without_contracts_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TerminalError, match="no contracts found"):
        load_contracts(tmp_path)


def test_the_error_for_an_unknown_stream_lists_the_known_ones() -> None:
    with pytest.raises(TerminalError, match=r"unknown stream 'flights.lost'.*flights.arrived, flights.cancelled"):
        get_contract(load_contracts(ROOT / "contracts"), "flights.lost")
