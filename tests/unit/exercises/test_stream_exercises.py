"""The unseen data of the exercises about streams is what its graders claim, whatever the seed."""

import json
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random

import pytest

from exercises.catalogue import load_program
from exercises.grading.programs import run_program
from sluice.contracts.loader import read_contract
from sluice.contracts.validation import validate_event
from sluice.settings import ROOT

STANDING = ROOT / "exercises" / "04-standing-stream"
DRIFTED = ROOT / "exercises" / "05-drifted-contract"
TWO_SINKS = ROOT / "exercises" / "15-two-sinks"
SEEDS = range(30)
NOW = datetime(2013, 1, 1, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_consumer_can_read_exactly_the_records_that_are_not_poison(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(STANDING / "answer"))
    consumer = load_program(STANDING / "solution" / "consumer.py")
    monkeypatch.delitem(sys.modules, "store")
    unseen = load_program(STANDING / "readings.py").unseen(Random(seed))
    for place, value in unseen.values.items():
        if place in unseen.poison:
            with pytest.raises(consumer.NotAReadingError):
                consumer.parse(value)
        else:
            assert consumer.parse(value) == unseen.reading(place)
    for partition in range(3):
        offsets = [offset for number, offset in unseen.values if number == partition]
        assert offsets == list(range(len(offsets)))
    assert (0, 0) in unseen.poison and unseen.values.keys() > unseen.faults.keys()
    assert sorted(unseen.faults.values()) == ["full", "kill", "kill"]
    assert sum(place in unseen.poison for place in unseen.faults) == 1


@pytest.mark.parametrize("seed", SEEDS)
def test_the_repaired_contract_accepts_both_generations_and_nothing_else(seed: int) -> None:
    measurements, random = load_program(DRIFTED / "measurements.py"), Random(seed)
    old, new = (read_contract(DRIFTED / folder / "gauges.measured.yaml") for folder in ("answer", "solution"))
    fields = [measurements.old(random) for _ in range(10)] + [measurements.new(random) for _ in range(30)]
    for number, message in enumerate(fields):
        event, reason = validate_event(new, json.dumps(message).encode(), NOW)
        assert event is not None, reason
        assert comparable(event.values) == comparable(measurements.row(message))
        if number < 10:
            assert validate_event(old, json.dumps(message).encode(), NOW)[0] is not None
    for kind, value in measurements.invalid(random).items():
        assert validate_event(new, value, NOW)[0] is None, kind


def comparable(values: dict[str, object]) -> dict[str, object]:
    """Returns values with timestamps as such, and numbers as decimals."""
    result = {}
    for name, value in values.items():
        if name.endswith("_at") and isinstance(value, int):
            result[name] = EPOCH + timedelta(microseconds=value)
        elif name == "level_cm" or isinstance(value, float):
            result[name] = Decimal(str(value))
        else:
            result[name] = value
    return result


@pytest.mark.parametrize("seed", SEEDS[:8])
def test_a_verifier_finds_every_planted_fault_and_no_other(tmp_path: Path, seed: int) -> None:
    random = Random(seed)
    sent = {partition: [random.randbytes(12) for _ in range(12)] for partition in range(3)}
    tables = load_program(TWO_SINKS / "planted.py").plant(tmp_path, random, sent)
    assert len(tables) == 9 and set() in tables.values()
    given, result = tmp_path / "tables.json", tmp_path / "faults.json"
    values = {partition: [value.hex() for value in of_partition] for partition, of_partition in sent.items()}
    given.write_text(json.dumps({"sent": values, "uris": list(tables)}))
    # As the grader runs it: a process in which Arrow has read tables often aborts when it exits.
    program = [str(TWO_SINKS / "run_verifier.py"), str(TWO_SINKS / "solution"), str(given), str(result)]
    found = run_program(program, TWO_SINKS / "solution", result, 60.0, "verify.py")
    assert [{tuple(fault) for fault in faults} for faults in found] == list(tables.values())
