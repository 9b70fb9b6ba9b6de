"""Whatever happens to consumer group, consumer offsets, broker or topic, the sink resumes where the lake ends."""

import os
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Producer
from kafka import TopicPartition
from kafka.structs import OffsetAndMetadata

from infra.servers.services import KAFKA
from infra.supervision.platform import Platform
from sluice.kafka import topics
from sluice.lake.chunk import Chunk, record_columns
from sluice.lake.layout import storage_options, table_uri
from sluice.lake.table import LakeTable
from sluice.sink.gap import record_gap
from tests.faults.sink_harness import START_MS, SinkHarness, value_of

THOROUGH = pytest.mark.thorough
END = 100_050
"""Kafka's first offset once records are deleted while the sink sleeps: beyond what its consumer has prefetched."""


@pytest.mark.essential
def test_a_sink_suspended_past_its_session_is_fenced_when_it_wakes(harness: SinkHarness) -> None:
    """Another sink takes over meanwhile; the first one wakes up with buffered records that are in the lake by then."""
    with harness.load():
        first = harness.start()
        harness.wait_for("the first sink commits", lambda: " commit stream=" in harness.logged())
        # Half a batch later, so that its buffers are not empty.
        harness.wait_for("the first sink has buffered records", lambda: _is_behind(harness))
        os.kill(first.pid, signal.SIGSTOP)
        try:
            before = harness.stream.next_offsets()
            second = harness.start()
            harness.wait_for(
                "the second sink has taken over every partition",
                lambda: all(offset > before[key] for key, offset in harness.stream.next_offsets().items()),
            )
        finally:
            os.kill(first.pid, signal.SIGCONT)
        count = harness.logged().count("assigned ")
        harness.wait_for("the first sink has rejoined the group", lambda: harness.logged().count("assigned ") > count)
    harness.stream.wait_for_lake()
    fenced = harness.logged().count("fenced; resuming at")
    assert first.poll() is None and second.poll() is None
    harness.stream.stop_sink(first)
    harness.stream.stop_sink(second)
    harness.check(f"suspended past its session, batches of {fenced} partitions fenced when it woke up")


@pytest.mark.parametrize("members", [3, pytest.param(20, marks=THOROUGH)])
def test_sinks_join_and_leave_every_two_seconds_under_load(
    make_harness: Callable[..., SinkHarness], members: int
) -> None:
    """Every two seconds one sink joins and another leaves; every third one is killed."""
    harness = make_harness(partitions=4)
    never = threading.Event()
    others: list[subprocess.Popen[bytes]] = []
    with harness.load():
        always = harness.start()
        for number in range(members + 2):
            if number < members:
                others.append(harness.start())
            # The interval is part of the test, not a substitute for a health check.
            never.wait(2)
            if number >= 2:
                leaving = others[number - 2]
                if number % 3 == 2:
                    harness.kill(leaving)
                else:
                    harness.stop(leaving)
        assert always.poll() is None
    harness.stream.wait_for_lake()
    harness.stream.stop_sink(always)
    ended = Counter(other.returncode for other in others)
    # A sink that was stopped before it installed its signal handler ends by the signal.
    assert set(ended) <= {0, -signal.SIGTERM, -signal.SIGKILL}, ended
    harness.check(f"{members} members joined and left, {ended[-signal.SIGKILL]} of them killed")


@THOROUGH
def test_the_sink_survives_a_killed_broker(harness: SinkHarness, environment_file: Path) -> None:
    platform = Platform(harness.stream.settings, environment_file)
    harness.keep_running()
    with harness.load(count=20):
        harness.wait_for("the first commit", lambda: " commit stream=" in harness.logged())
        broker = platform.supervisor.state("kafka")["pid"]
        os.kill(broker, signal.SIGKILL)
        harness.wait_for(
            "the broker is back",
            lambda: (
                platform.supervisor.state("kafka")["pid"] not in (0, broker)
                and KAFKA.check_health(harness.stream.settings) is None
            ),
        )
        before = harness.stream.next_offsets()
        harness.wait_for("the sink resumes", lambda: harness.stream.next_offsets() != before)
    harness.stream.wait_for_lake()
    harness.stop_running()
    assert "Traceback" not in harness.logged()
    harness.check("broker killed once")


@pytest.mark.parametrize(
    "change", [pytest.param("deleted", marks=THOROUGH), pytest.param("rewound", marks=THOROUGH), "advanced"]
)
def test_wrong_consumer_offsets_change_nothing(harness: SinkHarness, change: str) -> None:
    harness.send(100)
    harness.land()
    topic_partitions = [TopicPartition(harness.stream.name, partition) for partition in harness.partitions]
    with topics.admin(harness.stream.settings) as admin:
        committed = admin.list_group_offsets(harness.group)[harness.group]
        assert {committed[topic_partition].offset for topic_partition in topic_partitions} == {100}
        if change == "deleted":
            admin.delete_group_offsets(harness.group, topic_partitions)
        else:
            # Below the next offset, where everything is in the lake, or far beyond Kafka's end.
            wrong_offset = OffsetAndMetadata(3 if change == "rewound" else 10_000, "", -1)
            admin.alter_group_offsets(harness.group, dict.fromkeys(topic_partitions, wrong_offset))
    harness.send(100)
    harness.land()
    harness.check(f"consumer offsets {change}")


@pytest.mark.parametrize("more", [pytest.param(False, marks=THOROUGH), True])
def test_a_topic_is_deleted_and_created_again_while_the_sink_runs(harness: SinkHarness, more: bool) -> None:
    """``more``: the new topic has more records than the old one, so that the old next offset exists in it."""
    harness.keep_running()
    harness.send(100)
    harness.stream.wait_for_lake()
    before = harness.stream.next_offsets()
    with topics.admin(harness.stream.settings) as admin:
        admin.delete_topics([harness.stream.name])
        harness.wait_for("the topic is gone", lambda: harness.stream.name not in admin.list_topics())
    topics.provision(harness.stream.settings, {harness.stream.name: harness.stream.contract})
    harness.sent.clear()
    harness.send(250 if more else 40)
    harness.stream.wait_for_lake()
    harness.stop_running()
    assert "Traceback" not in harness.logged()
    harness.check("topic recreated while the sink ran", before=before)


@pytest.mark.essential
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("lost", "offsets 100 to 149 are lost"),
        ("restored", "the lake has offsets up to 149, but Kafka ends at 100"),
    ],
)
def test_a_partition_that_kafka_cannot_continue_halts_alone(harness: SinkHarness, kind: str, message: str) -> None:
    """``lost``: Kafka deleted records before they reached the lake; ``restored``: from a copy older than the lake."""
    harness.send(100)
    harness.land()
    topic_partition = TopicPartition(harness.stream.name, 1)
    if kind == "lost":
        harness.send(100)
        with topics.admin(harness.stream.settings) as admin:
            admin.delete_records({topic_partition: 150})
    else:
        _advance_lake(harness, partition=1, count=50)
    halted, others = _partition(harness, 1), _partition(harness, 0)
    before = harness.stream.next_offsets()
    sink = harness.start()
    harness.wait_for("the partition halts", lambda: message in harness.logged())
    # In the second case Kafka's end passes the lake's next offset: the offsets between are other records.
    harness.send(100)
    end = harness.sent[0]
    harness.wait_for("the other partition continues", lambda: harness.stream.next_offsets()[others] == end)
    assert harness.stream.next_offsets()[halted] == before[halted]
    assert sink.poll() is None
    assert "Traceback" not in harness.logged()
    if kind == "lost":
        record_gap(harness.stream.settings, harness.stream.contract, 1, 150, "deleted", "test")
        # Within the time of a recheck; its supervisor then restarts it.
        assert sink.wait(timeout=60) == 1
        sink = harness.start()
        harness.stream.wait_for_lake()
    harness.stream.stop_sink(sink)
    harness.say(f"{kind}: the partition halts with one line, and the other one continues")


@pytest.mark.parametrize(
    ("in_transaction", "message"), [(0, "Kafka has another record at 149"), (49, "Kafka has no record at 149")]
)
def test_a_partition_whose_last_record_is_another_one_halts_although_kafka_has_more(
    harness: SinkHarness, in_transaction: int, message: str
) -> None:
    """Kafka was restored from an older copy, and its end has passed the lake's next offset while no sink ran.

    ``in_transaction``: so many of the other records are one transaction, whose marker has the offset after them.
    """
    harness.send(100)
    harness.land()
    # The lake gets what Kafka then lost, and Kafka has other records at the same offsets.
    _advance_lake(harness, partition=1, count=50, prefix=b"lost:")
    if in_transaction:
        _send_transaction(harness, partition=1, count=in_transaction)
    harness.send(100)
    halted, others = _partition(harness, 1), _partition(harness, 0)
    before = harness.stream.next_offsets()
    sink = harness.start()
    harness.wait_for("the partition halts", lambda: message in harness.logged())
    harness.wait_for("the other partition continues", lambda: harness.stream.next_offsets()[others] == harness.sent[0])
    assert harness.stream.next_offsets()[halted] == before[halted]
    harness.stream.stop_sink(sink)
    assert "Traceback" not in harness.logged()


@THOROUGH
def test_records_deleted_by_kafka_while_the_sink_is_suspended_halt_their_partition(harness: SinkHarness) -> None:
    sink = harness.start()
    harness.send(100)
    harness.stream.wait_for_lake()
    os.kill(sink.pid, signal.SIGSTOP)
    try:
        harness.send(100_000)
        with topics.admin(harness.stream.settings) as admin:
            admin.delete_records({TopicPartition(harness.stream.name, 1): END})
    finally:
        os.kill(sink.pid, signal.SIGCONT)
    # It finds out when it reads on, and restarts; or, past its session, when the partition is assigned again.
    harness.wait_for("the sink finds out", lambda: "are lost" in harness.logged() or sink.poll() is not None)
    if sink.poll() is not None:
        assert sink.returncode == 1
        sink = harness.start()
    harness.wait_for("the partition halts", lambda: "are lost" in harness.logged())
    others, end = _partition(harness, 0), harness.sent[0]
    harness.wait_for("the other partition continues", lambda: harness.stream.next_offsets()[others] == end)
    harness.stream.stop_sink(sink)
    assert "Traceback" not in harness.logged()


def _partition(harness: SinkHarness, partition: int) -> tuple[str, int]:
    """Returns the topic id and number of a partition."""
    return topics.topic_ids(harness.stream.settings, harness.stream.topics)[harness.stream.name], partition


def _advance_lake(harness: SinkHarness, partition: int, count: int, prefix: bytes = b"") -> None:
    """Commits records to the lake that Kafka does not have, which is what an older copy of Kafka looks like."""
    topic_id, _ = _partition(harness, partition)
    settings = harness.stream.settings
    table = LakeTable(table_uri(settings, harness.stream.name), storage_options(settings, "writer"))
    start = table.next_offset(topic_id, partition)
    offsets, nulls = range(start, start + count), [None] * count
    values = [prefix + value_of(partition, offset) for offset in offsets]
    rows = record_columns(topic_id, partition, offsets, [START_MS] * count, nulls, values, nulls)
    assert not table.append([Chunk(topic_id, partition, start, start + count, rows)]).fenced


def _send_transaction(harness: SinkHarness, partition: int, count: int) -> None:
    """Sends records to a partition in one transaction, whose marker then has the offset after them."""
    producer = Producer({"bootstrap.servers": harness.stream.settings.kafka, "transactional.id": harness.stream.name})
    start = _end(harness, partition)
    producer.init_transactions()
    producer.begin_transaction()
    for _ in range(count):
        producer.produce(harness.stream.contract.topic_name, b"{}", partition=partition, timestamp=START_MS)
    producer.commit_transaction()
    # Kafka answers before it has written the marker.
    harness.wait_for("the marker", lambda: _end(harness, partition) == start + count + 1)


def _end(harness: SinkHarness, partition: int) -> int:
    """Returns Kafka's end of a partition."""
    ranges = topics.kafka_ranges(harness.stream.settings, harness.stream.topics)
    return next(kafka_range.end for kafka_range in ranges if kafka_range.partition == partition)


def _is_behind(harness: SinkHarness) -> bool:
    """Returns whether Kafka is ahead of the lake by more than 100 records of a partition."""
    next_offsets = harness.stream.next_offsets()
    return any(
        kafka_range.end > next_offsets[kafka_range.topic_id, kafka_range.partition] + 100
        for kafka_range in topics.kafka_ranges(harness.stream.settings, harness.stream.topics)
    )
