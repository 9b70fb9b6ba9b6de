import json

import pytest

from producers.contract_violations import contract_violations
from producers.flights.streams import STREAMS
from producers.flights.timeline import Timeline
from sluice.contracts import Contract


@pytest.mark.parametrize("stream", STREAMS)
def test_a_violation_changes_one_column_and_is_json(
    stream: str, contracts: dict[str, Contract], january: Timeline
) -> None:
    value = next(event.value for batch in january.batches() for event in batch if event.stream == stream)
    event = json.loads(value)
    for violation in contract_violations(contracts[stream]):
        invalid = json.loads(violation.apply(value))
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
