"""Which partitions are stalled, and which of them Kafka has lost."""

import pytest

from sluice.alerts import checks
from sluice.alerts.checks import NextOffsets, lost_by_kafka, stalled_partitions
from sluice.contracts import Contract
from sluice.kafka.topics import KafkaRange
from sluice.lake.errors import NoTableError
from sluice.lake.ranges import PartitionKey
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
    monkeypatch.setattr(checks, "lake_offsets", lambda settings, contract: {("id", 0): 8})
    assert checks.stalled_sinks(Settings.model_construct(), {"a.b": Contract.model_construct()}) == {}


Ends = dict[str, int | None]
"""The end of the only partition of each stream; None without a topic, or without a table in the lake."""


def stalled(monkeypatch: pytest.MonkeyPatch, kafka: Ends, *lake: Ends) -> dict[str, str]:
    """Returns the problems, given Kafka and the lake before and after the wait."""
    moments = [lake[0], lake[-1]]

    def kafka_ranges(*_: object, **__: object) -> list[KafkaRange]:
        return [KafkaRange(name, name, f"id {name}", 0, 0, end) for name, end in kafka.items() if end is not None]

    def lake_offsets(_: Settings, contract: Contract) -> dict[PartitionKey, int]:
        end = moments[0][contract.stream]
        if end is None:
            raise NoTableError(contract.stream)
        return {(f"id {contract.stream}", 0): end} if end else {}

    monkeypatch.setattr(checks, "kafka_ranges", kafka_ranges)
    monkeypatch.setattr(checks, "topic_names", lambda contracts: {stream: stream for stream in contracts})
    monkeypatch.setattr(checks, "lake_offsets", lake_offsets)
    monkeypatch.setattr(checks.time, "sleep", lambda _: moments.pop(0))
    contracts = {stream: Contract.model_construct(stream=stream) for stream in kafka}
    return checks.stalled_sinks(Settings.model_construct(sink_age_seconds=10.0), contracts)


@pytest.mark.parametrize(
    ("new", "table"),
    [
        (None, None),  # not launched yet
        (None, 0),  # its topic was deleted
        (0, None),  # launched, and the sink has not started yet
    ],
)
def test_a_stream_without_topic_or_table_does_not_end_the_check_of_the_others(
    monkeypatch: pytest.MonkeyPatch, new: int | None, table: int | None
) -> None:
    assert stalled(monkeypatch, {"a.new": new, "b.stuck": 9}, {"a.new": table, "b.stuck": 5}) == {
        "b.stuck": "lag of 4 offsets in 1 partitions without a commit to the lake for 60 s; see `make logs S=sink`"
    }


def test_a_stream_with_records_and_without_a_table_is_stalled(monkeypatch: pytest.MonkeyPatch) -> None:
    assert stalled(monkeypatch, {"a.b": 7, "c.d": 3}, {"a.b": None, "c.d": 3}) == {
        "a.b": "lag of 7 offsets in 1 partitions and no table in the lake for 60 s; see `make logs S=sink`"
    }


@pytest.mark.parametrize("after", [7, 3])
def test_a_table_that_is_created_during_the_check_and_advances_is_no_problem(
    monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    assert stalled(monkeypatch, {"a.b": 7}, {"a.b": None}, {"a.b": after}) == {}


def test_a_table_that_was_created_and_does_not_advance_is_stalled(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "without a commit" in stalled(monkeypatch, {"a.b": 7}, {"a.b": None}, {"a.b": 0})["a.b"]
