"""Which partitions are stalled, and which of them Kafka has lost."""

import pytest

from sluice.alerts import checks
from sluice.alerts.checks import NextOffsets, lost_by_kafka, stalled_partitions
from sluice.contracts import Contract
from sluice.kafka.topics import KafkaRange
from sluice.settings import Settings


@pytest.mark.parametrize(
    ("lake_before", "kafka_before", "lake_after", "lag"),
    [
        ({("a", 0): 5}, {("a", 0): 5}, {("a", 0): 5}, {}),  # no lag
        ({("a", 0): 5}, {("a", 0): 9}, {("a", 0): 9}, {}),  # the sink has caught up
        ({("a", 0): 5}, {("a", 0): 9}, {("a", 0): 6}, {}),  # slow progress
        ({("a", 0): 5}, {("a", 0): 9}, {("a", 0): 5}, {("a", 0): 4}),
        ({}, {("a", 0): 3}, {}, {("a", 0): 3}),  # never committed
        ({}, {("a", 0): 0}, {}, {}),  # an empty partition
        ({("a", 0): 5, ("a", 1): 5}, {("a", 0): 9, ("a", 1): 9}, {("a", 0): 9, ("a", 1): 5}, {("a", 1): 4}),
        ({("old", 0): 7}, {("new", 0): 2}, {("old", 0): 7}, {("new", 0): 2}),  # a topic that was created again
    ],
)
def test_a_partition_is_stalled_if_it_lags_and_makes_no_progress(
    lake_before: NextOffsets, kafka_before: NextOffsets, lake_after: NextOffsets, lag: NextOffsets
) -> None:
    assert stalled_partitions(lake_before, kafka_before, lake_after) == lag


def test_offsets_of_the_lake_beyond_kafkas_end_are_lost_by_kafka() -> None:
    lake = {("a", 0): 9, ("a", 1): 5, ("old", 0): 7}
    assert lost_by_kafka(lake, {("a", 0): 6, ("a", 1): 5, ("new", 0): 0}) == {("a", 0): 3}


def test_a_sink_that_goes_on_during_the_check_has_lost_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = iter([5, 9])

    def kafka_ranges(*_: object, **__: object) -> list[KafkaRange]:
        return [KafkaRange("a.b", "a.b", "id", 0, 0, next(ends))]

    monkeypatch.setattr(checks, "kafka_ranges", kafka_ranges)
    monkeypatch.setattr(checks, "topic_names", lambda contracts: {"a.b": "a.b"})
    monkeypatch.setattr(checks, "lake_offsets", lambda settings, contract, keys: {("id", 0): 8})
    assert checks.stalled_sinks(Settings.model_construct(), {"a.b": Contract.model_construct()}) == {}
