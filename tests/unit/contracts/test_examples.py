"""The contract examples: every valid event is loaded, every invalid one goes to quarantine with its reason."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from sluice.contracts import load_contracts
from sluice.contracts.validation import validate_event
from sluice.load.columns import read_columns
from sluice.settings import ROOT

CONTRACTS = load_contracts(ROOT / "contracts")
EXAMPLES = sorted((ROOT / "contracts" / "examples").glob("*.json"))


def _parts(path: Path) -> tuple[str, bool]:
    """Returns the stream and whether the event is valid; files are named ``<stream>.<case>.{pass,fail}.json``."""
    *stream, _, verdict, _ = path.name.split(".")
    assert verdict in ("pass", "fail"), path.name
    return ".".join(stream), verdict == "pass"


def _event_time(value: bytes, name: str) -> datetime:
    """Returns the timestamp of the event's record; a default if the event has no readable one."""
    try:
        return datetime.fromisoformat(json.loads(value)[name])
    except (ValueError, KeyError, TypeError, IndexError):
        return datetime(2013, 1, 1, tzinfo=UTC)


def test_every_stream_has_valid_and_invalid_examples() -> None:
    examples = {_parts(path) for path in EXAMPLES}
    assert examples == {(stream, valid) for stream in CONTRACTS for valid in (True, False)}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_file_name_states_whether_an_example_is_valid(path: Path) -> None:
    stream, valid = _parts(path)
    contract = CONTRACTS[stream]
    value = path.read_bytes().strip()

    timestamp = _event_time(value, contract.event_time)
    event, reason = validate_event(contract, value, timestamp)
    stamps = pa.array([timestamp], pa.timestamp("us", tz="UTC"))
    records = pa.table({"value": pa.array([value], pa.binary()), "timestamp": stamps, "key": pa.nulls(1, pa.binary())})
    columns = read_columns(contract, records)

    assert (event is not None) == valid, reason
    assert bool(reason) == (not valid)
    assert columns.is_valid.to_pylist() == [valid]
    assert columns.reasons == ([] if valid else [reason])
