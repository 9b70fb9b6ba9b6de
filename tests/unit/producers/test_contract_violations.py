import json

import pytest

from producers.contract_violations import contract_violations
from producers.flights.streams import STREAMS
from producers.flights.timeline import Timeline
from sluice.contracts import Contract


@pytest.mark.parametrize("stream", STREAMS)
def test_each_breach_changes_one_thing_and_is_json(
    stream: str, contracts: dict[str, Contract], january: Timeline
) -> None:
    value = next(event.value for batch in january.batches() for event in batch if event.stream == stream)
    event = json.loads(value)
    for violation in contract_violations(contracts[stream]):
        broken = json.loads(violation.apply(value))
        if not violation.column:
            assert not isinstance(broken, dict)
            continue
        changed = {name for name in event if name not in broken or broken[name] != event[name]}
        assert changed == {violation.column}, violation


@pytest.mark.parametrize("stream", STREAMS)
def test_every_rule_of_the_contract_is_broken(stream: str, contracts: dict[str, Contract]) -> None:
    ways = {(violation.column, violation.way) for violation in contract_violations(contracts[stream])}
    assert ("", "not an object") in ways
    for column in contracts[stream].columns:
        assert (column.name, "wrong type") in ways
        assert ((column.name, "missing") in ways) == (not column.nullable)
        assert ((column.name, "null") in ways) == (not column.nullable)
        assert ((column.name, "below minimum") in ways) == (column.minimum is not None)
        assert ((column.name, "above maximum") in ways) == (column.maximum is not None)
