"""The contracts' examples: each good event is loaded, each bad one goes to quarantine with its reason."""

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
    """The stream and whether the event is good: the name is ``<stream>.<case>.{pass,fail}.json``."""
    *stream, _, verdict, _ = path.name.split(".")
    assert verdict in ("pass", "fail"), path.name
    return ".".join(stream), verdict == "pass"


def _event_time(value: bytes, name: str) -> datetime:
    """The timestamp that its record would have; any, where the event has none that can be read."""
    try:
        return datetime.fromisoformat(json.loads(value)[name])
    except (ValueError, KeyError, TypeError, IndexError):
        return datetime(2013, 1, 1, tzinfo=UTC)


def test_every_stream_has_good_and_bad_examples() -> None:
    found = {_parts(path) for path in EXAMPLES}
    assert found == {(stream, verdict) for stream in CONTRACTS for verdict in (True, False)}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_judged_as_its_name_says(path: Path) -> None:
    stream, good = _parts(path)
    contract = CONTRACTS[stream]
    value = path.read_bytes().strip()

    timestamp = _event_time(value, contract.event_time)
    stamps = pa.chunked_array([pa.array([timestamp], pa.timestamp("us", tz="UTC"))])

    event, reason = validate_event(contract, value, timestamp)
    columns = read_columns(contract, pa.chunked_array([pa.array([value], pa.binary())]), stamps)

    assert (event is not None) == good, reason
    assert bool(reason) == (not good)
    assert columns.fits.to_pylist() == [good]
    assert columns.reasons == ([] if good else [reason])
