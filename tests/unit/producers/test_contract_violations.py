import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from producers.contract_violations import contract_violations
from producers.flights.streams import STREAMS
from producers.flights.timeline import Timeline
from sluice.contracts import Contract, read_contract
from sluice.contracts.validation import validate_event


@pytest.mark.parametrize("stream", STREAMS)
def test_a_violation_changes_one_column_and_is_json(
    stream: str, contracts: dict[str, Contract], january: Timeline
) -> None:
    value = next(event.value for batch in january.batches() for event in batch if event.stream == stream)
    event = json.loads(value)
    for violation in contract_violations(contracts[stream]):
        invalid = json.loads(violation.apply(value) or b"")
        if not violation.column:
            assert not isinstance(invalid, dict)
            continue
        changed = {name for name in event if name not in invalid or invalid[name] != event[name]}
        assert changed == {violation.column}, violation


@pytest.mark.parametrize("stream", STREAMS)
def test_every_rule_of_the_contract_is_violated(stream: str, contracts: dict[str, Contract]) -> None:
    kinds = {(violation.column, violation.kind) for violation in contract_violations(contracts[stream])}
    assert ("", "not an object") in kinds
    for column in contracts[stream].columns:
        assert (column.name, "wrong type") in kinds
        assert ((column.name, "missing") in kinds) == (not column.nullable)
        assert ((column.name, "null") in kinds) == (not column.nullable)
        assert ((column.name, "below minimum") in kinds) == (column.minimum is not None)
        assert ((column.name, "above maximum") in kinds) == (column.maximum is not None)


EVERY_TYPE = """
stream: a.b
description: Every type.
owner: you
topic: {partitions: 1, retention_bytes: 1048576}
event_time: at
lateness: 1h
load: {schedule: "0 0 * * *"}
columns:
  - {name: at, from: times.at, type: timestamp, format: epoch_ms, nullable: false, description: "-"}
  - {name: text, type: string, enum: [a, "?"], description: "-"}
  - {name: word, type: string, pattern: "[a-z]+", min_length: 2, description: "-"}
  - {name: amount, from: '$["odd name"]', type: "decimal(5, 2)", minimum: -0.5, maximum: 99.99, description: "-"}
  - {name: latitude, from: "place.position[1]", type: float64, nullable: false, maximum: 90, description: "-"}
  - {name: either, from: [first, second.value], type: int32, nullable: false, description: "-"}
  - {name: clock, type: time, description: "-"}
  - {name: identity, type: uuid, description: "-"}
  - {name: anything, type: json, description: "-"}
  - {name: tags, type: array(string), description: "-"}
  - {name: amounts, type: "array(decimal(3, 1))", description: "-"}
"""
EVENT: dict[str, Any] = {
    "times": {"at": 1517966773840},
    "text": "a",
    "word": "abc",
    "odd name": 1.25,
    "place": {"position": [16.5, 48.25]},
    "second": {"value": 7},
    "clock": "01:02:03",
    "identity": "6f9619ff-8b86-d011-b42d-00cf4fc964ff",
    "anything": {"a": [1]},
    "tags": ["x"],
    "amounts": [1.5],
}
NOW = datetime(2018, 2, 7, tzinfo=UTC)


@pytest.fixture
def every_type(tmp_path: Path) -> Contract:
    path = tmp_path / "a.b.yaml"
    path.write_text(EVERY_TYPE)
    contract = read_contract(path)
    assert validate_event(contract, json.dumps(EVENT).encode(), NOW)[1] == ""
    return contract


@pytest.mark.parametrize("missing", ["", "place", "times", "second"])
def test_every_violation_of_every_type_makes_an_event_invalid(every_type: Contract, missing: str) -> None:
    event = {name: value for name, value in EVENT.items() if name != missing}
    for violation in contract_violations(every_type):
        invalid = violation.apply(json.dumps(event).encode())
        assert validate_event(every_type, invalid, NOW)[0] is None, violation


def test_a_violation_names_its_column_in_the_reason(every_type: Contract) -> None:
    for violation in contract_violations(every_type):
        if violation.column:
            _, reason = validate_event(every_type, violation.apply(json.dumps(EVENT).encode()), NOW)
            assert reason.startswith(f"{violation.column}: "), violation


@pytest.mark.parametrize(
    "event",
    [b"not json", b"[1,2]", b"7", b"", b"\xff", b'{"a":NaN}', b'{"a":1e999}', b'{"a":1,"a":2}', b"[" * 100_000],
    ids=lambda event: event[:12].decode("utf-8", "replace"),
)
def test_what_is_not_an_object_of_json_cannot_violate_a_column(every_type: Contract, event: bytes) -> None:
    for violation in contract_violations(every_type):
        assert (violation.apply(event) is None) == bool(violation.column)
