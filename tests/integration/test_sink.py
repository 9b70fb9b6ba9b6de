"""The sink's process on real servers: nothing is lost, nothing is duplicated."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy

import pyarrow.compute as pc
import pytest
from kafka import TopicPartition as KafkaPartition

from sluice.kafka import topics
from sluice.kafka.groups import sink_group
from sluice.lake import bucket
from sluice.lake.identity import ensure_lake_id
from sluice.lake.reader import LakeReader
from sluice.settings import Settings
from sluice.sink.consumer import KafkaSource
from sluice.sink.protocols import TopicPartition
from tests.fixtures.servers import Stream
from tests.fixtures.waiting import wait


def _lake(stream: Stream) -> list[dict[str, object]]:
    rows = LakeReader(stream.settings, stream.name).rows(
        pc.scalar(True), ["partition", "offset", "value", "event_date"]
    )
    return list(rows.sort_by([("partition", "ascending"), ("offset", "ascending")]).to_pylist())


@pytest.mark.essential
def test_records_reach_the_lake_with_their_bytes(make_stream: Callable[..., Stream]) -> None:
    stream = make_stream(partitions=2)
    values: list[bytes | None] = [b'{"a": 1}', b"\x00\xff not JSON", b"", None, b"x" * 900_000]
    stream.send(values, partition=1)
    stream.land()
    rows = _lake(stream)
    assert [(row["partition"], row["offset"], row["value"]) for row in rows] == [
        (1, offset, value) for offset, value in enumerate(values)
    ]
    assert {str(row["event_date"]) for row in rows} == {"2013-01-01"}


@pytest.mark.essential
def test_two_sinks_share_the_partitions(make_stream: Callable[..., Stream]) -> None:
    stream = make_stream(partitions=4)
    sinks = [stream.start_sink(), stream.start_sink()]
    for round_ in range(5):
        for partition in range(4):
            stream.send([f"{round_ * 100 + n}".encode() for n in range(100)], partition=partition)
        if round_ == 2:
            stream.wait_for_lake()
            stream.stop_sink(sinks.pop())
    stream.wait_for_lake()
    stream.stop_sink(sinks.pop())
    rows = _lake(stream)
    assert [(row["partition"], row["offset"], row["value"]) for row in rows] == [
        (partition, offset, f"{offset}".encode()) for partition in range(4) for offset in range(500)
    ]


@pytest.fixture
def another_bucket(servers: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A second bucket that the lake's users may use, too."""

    policy = bucket.policy

    with monkeypatch.context() as patch:
        patch.setattr(bucket, "policy", lambda _, user: policy("*", user))
        bucket.provision(servers.model_copy(update={"lake_bucket": "another-lake"}))
    yield "another-lake"
    bucket.provision(servers)


def test_sinks_of_two_lakes_each_write_every_record(make_stream: Callable[..., Stream], another_bucket: str) -> None:
    stream = make_stream(partitions=2)
    other = deepcopy(stream)
    other.settings = stream.settings.model_copy(update={"lake_bucket": another_bucket})
    other.environment["SLUICE_LAKE_BUCKET"] = another_bucket
    for partition in (0, 1):
        stream.send([f"{n}".encode() for n in range(20)], partition=partition)
    sinks = [stream.start_sink(), other.start_sink()]
    try:
        for lake in (stream, other):
            lake.wait_for_lake()
        assert _lake(stream) == _lake(other)
        assert len(_lake(stream)) == 40
        groups = {sink_group(lake.settings.lake_bucket, ensure_lake_id(lake.settings)) for lake in (stream, other)}
        assert len(groups) == 2
        stream.stop_sink(sinks.pop(0))
        # An upgraded platform has a new group; without new records it shows the lake's offsets all the same.
        group = sink_group(stream.settings.lake_bucket, ensure_lake_id(stream.settings))
        with topics.admin(stream.settings) as admin:
            admin.delete_group_offsets(group, [KafkaPartition(stream.name, partition) for partition in (0, 1)])
        sinks.append(stream.start_sink())
        wait(
            "the group's offsets are the lake's",
            lambda: topics.group_offsets(stream.settings, [group], stream.topics)[group] == {stream.name: 40},
        )
    finally:
        for sink in sinks:
            sink.kill()
            sink.wait()


def test_a_partition_that_is_assigned_while_reads_are_paused_is_not_read(make_stream: Callable[..., Stream]) -> None:
    stream = make_stream(partitions=2)
    paused, read = TopicPartition(stream.name, 0), TopicPartition(stream.name, 1)
    for partition in (0, 1):
        stream.send([f"{n}".encode() for n in range(500)], partition=partition)
    source = KafkaSource(stream.settings, stream.topics, f"test-{stream.name}")

    class Sink:
        def assigned(self, topic_ids: dict[TopicPartition, str]) -> None:
            source.assign(dict.fromkeys(topic_ids, 0))
            source.pause([paused])

        def revoked(self, topic_partitions: Iterable[TopicPartition]) -> None:
            pass

    counts = Counter[TopicPartition]()

    def all_read(topic_partition: TopicPartition) -> bool:
        for records in source.poll(0.2):
            counts[records.topic_partition] += records.rows.num_rows
        return counts[topic_partition] == 500

    try:
        source.subscribe(Sink())
        wait("the other partition is read", lambda: all_read(read))
        assert counts[paused] == 0
        source.resume([paused])
        wait("the paused partition is read after it is resumed", lambda: all_read(paused))
    finally:
        source.close()


def _topic_names(stream: Stream) -> list[str]:
    with topics.admin(stream.settings) as admin:
        return list(admin.list_topics())
