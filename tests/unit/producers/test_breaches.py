import json

import pytest

from producers.breaches import breaches
from producers.streams import STREAMS
from producers.timeline import Timeline
from sluice.contracts import Contract


@pytest.mark.parametrize("stream", STREAMS)
def test_each_breach_changes_one_thing_and_is_json(
    stream: str, contracts: dict[str, Contract], january: Timeline
) -> None:
    value = next(event.value for batch in january.batches() for event in batch if event.stream == stream)
    event = json.loads(value)
    for breach in breaches(contracts[stream]):
        broken = json.loads(breach.apply(value))
        if not breach.column:
            assert not isinstance(broken, dict)
            continue
        changed = {name for name in event if name not in broken or broken[name] != event[name]}
        assert changed == {breach.column}, breach


@pytest.mark.parametrize("stream", STREAMS)
def test_every_rule_of_the_contract_is_broken(stream: str, contracts: dict[str, Contract]) -> None:
    ways = {(breach.column, breach.way) for breach in breaches(contracts[stream])}
    assert ("", "not an object") in ways
    for column in contracts[stream].columns:
        assert (column.name, "wrong type") in ways
        assert ((column.name, "missing") in ways) == (not column.nullable)
        assert ((column.name, "null") in ways) == (not column.nullable)
        assert ((column.name, "below minimum") in ways) == (column.minimum is not None)
        assert ((column.name, "above maximum") in ways) == (column.maximum is not None)
