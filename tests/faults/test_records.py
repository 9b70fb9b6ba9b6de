"""Unusual records: aborted transactions, null and huge values, headers, extreme timestamps."""

from collections.abc import Callable
from typing import Any

import pyarrow.compute as pc
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType

from sluice.kafka import topics
from sluice.lake.reader import LakeReader
from sluice.load import load
from sluice.reconcile import reconcile
from tests.fixtures.servers import Stream
from tests.fixtures.waiting import wait

YEAR_1_MS = -62_135_596_800_000
YEAR_9999_MS = 253_402_300_799_999


def _lake(stream: Stream) -> list[dict[str, Any]]:
    columns = ["partition", "offset", "value", "key", "headers", "timestamp", "event_date"]
    rows = LakeReader(stream.settings, stream.name).rows(pc.scalar(True), columns)
    return list(rows.sort_by([("partition", "ascending"), ("offset", "ascending")]).to_pylist())


def _committed(stream: Stream) -> list[tuple[int, int, bytes | None]]:
    """Returns what a plain read-committed consumer sees, up to the topic's end."""
    consumer = Consumer(
        {
            "bootstrap.servers": stream.settings.kafka,
            "group.id": "unused",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
        }
    )
    partitions = range(stream.contract.topic.partitions)
    consumer.assign([TopicPartition(stream.name, partition, 0) for partition in partitions])
    records = []
    ended = 0
    while ended < len(partitions):
        message = consumer.poll(30)
        assert message is not None
        if message.error() is not None:
            ended += 1
        else:
            records.append((message.partition(), message.offset(), message.value()))
    consumer.close()
    return sorted(records)


def _wait_for_markers(stream: Stream, ends: list[int]) -> None:
    """Waits until the broker has written the transaction markers, which it does after acknowledging the producer."""

    def current_ends() -> list[int]:
        return [kafka_range.end for kafka_range in topics.kafka_ranges(stream.settings, stream.topics)]

    wait(f"the partitions end at {ends}", lambda: current_ends() == ends, detail=current_ends)


@pytest.mark.essential
def test_aborted_transactions_leave_offsets_without_records(
    make_stream: Callable[..., Stream], say: Callable[[str], None]
) -> None:
    """Partition 0 ends with a commit marker, 1 with an aborted transaction; 2 has no record at all."""
    stream = make_stream(partitions=3)
    producer = Producer({"bootstrap.servers": stream.settings.kafka, "transactional.id": f"{stream.name}-tests"})
    producer.init_transactions(30)
    commits = 0
    sink = stream.start_sink()
    for number in range(12):
        producer.begin_transaction()
        aborted = number % 3 == 2
        for partition in (0, 1, 2) if aborted else (0, 1):
            for index in range(20):
                producer.produce(
                    stream.name, f"{number}:{index}".encode(), b"k", partition, timestamp=1_357_035_300_000
                )
        producer.flush(30)
        if aborted:
            producer.abort_transaction(30)
        else:
            producer.commit_transaction(30)
            commits += 1
    producer.begin_transaction()
    producer.produce(stream.name, b"the last", b"k", 0, timestamp=1_357_035_300_000)
    producer.commit_transaction(30)
    # Every transaction leaves a marker after its records in each partition that it wrote to.
    _wait_for_markers(stream, [12 * 21 + 2, 12 * 21, 4 * 21])
    stream.wait_for_lake()
    stream.stop_sink(sink)

    expected = _committed(stream)
    assert [(row["partition"], row["offset"], row["value"]) for row in _lake(stream)] == expected
    assert len(expected) == commits * 40 + 1
    offsets = sum(kafka_range.end for kafka_range in topics.kafka_ranges(stream.settings, stream.topics))
    load(stream.settings, stream.contract)
    report = reconcile(stream.settings, {stream.name: stream.contract}, full=True)
    assert report.agrees, report.text()
    # A restarted sink resumes after the markers, and has nothing to do.
    stream.send([b"after"], partition=2)
    stream.land()
    assert len(_lake(stream)) == len(expected) + 1
    say(
        f"4 of 12 transactions aborted; {offsets} offsets, of which {len(expected)} have a record for a read-committed "
        "consumer, and exactly these are in the lake; reconcile agrees"
    )


@pytest.mark.thorough
def test_an_open_transaction_delays_the_sink_and_loses_nothing(
    make_stream: Callable[..., Stream], say: Callable[[str], None]
) -> None:
    stream = make_stream(partitions=1)
    stream.send([b"before"] * 5)
    producer = Producer({"bootstrap.servers": stream.settings.kafka, "transactional.id": f"{stream.name}-tests"})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(stream.name, b"open", b"k", 0, timestamp=1_357_035_300_000)
    producer.flush(30)
    stream.send([b"behind the transaction"] * 5)
    stream.land()
    assert len(_lake(stream)) == 5
    producer.commit_transaction(30)
    _wait_for_markers(stream, [12])
    stream.land()
    rows = _lake(stream)
    assert [(0, row["offset"], row["value"]) for row in rows] == _committed(stream)
    assert len(rows) == 11
    say("5 records in the lake while a transaction was open ahead of the other 6, and all 11 after it")


@pytest.mark.thorough
def test_records_that_compaction_took_are_a_fault(
    make_stream: Callable[..., Stream], say: Callable[[str], None]
) -> None:
    stream = make_stream(partitions=1)
    with topics.admin(stream.settings) as admin:
        compact = {"cleanup.policy": "compact", "segment.ms": "1000", "min.cleanable.dirty.ratio": "0.001"}
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, stream.name, configs=compact)])
    # All have the same key; each of the later times begins a segment, and only closed ones are compacted.
    for hour in range(3):
        stream.send([b"value"] * 20, timestamp_ms=1_357_035_300_000 + hour * 3_600_000)
    wait("compaction", lambda: len(_committed(stream)) < 60, detail=lambda: len(_committed(stream)), seconds=120)
    stream.land()
    load(stream.settings, stream.contract)
    report = reconcile(stream.settings, {stream.name: stream.contract})
    assert report.faults, report.text()
    assert all("neither a transaction nor a recorded gap explains it" in fault for fault in report.faults)
    say(f"{60 - len(_lake(stream))} records taken by compaction: {len(report.faults)} faults")


def test_empty_null_and_huge_values_and_headers_arrive_unchanged(
    make_stream: Callable[..., Stream], say: Callable[[str], None]
) -> None:
    stream = make_stream(partitions=1)
    huge = bytes(range(256)) * 4096
    sent: list[tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]]]] = [
        (None, None, []),
        (b"", b"", []),
        (None, b"", [("h", b"")]),
        (b"\x00\xff", b"\x00", [("h", b"1"), ("h", b"2"), ("", b"\xff\x00"), ("null", None)]),
        *((b"k", huge[: (1 << 20) - 1000 - number], [("n", str(number).encode())]) for number in range(8)),
    ]
    producer = Producer({"bootstrap.servers": stream.settings.kafka, "message.max.bytes": 1 << 20})
    for key, value, headers in sent:
        producer.produce(stream.name, value, key, 0, timestamp=1_357_035_300_000, headers=headers or None)
    assert producer.flush(30) == 0
    stream.land()
    rows = _lake(stream)
    assert [(row["key"], row["value"]) for row in rows] == [(key, value) for key, value, _ in sent]
    assert [[(header["key"], header["value"]) for header in row["headers"] or []] for row in rows] == [
        headers for _, _, headers in sent
    ]
    say(f"{len(rows)} records: null, empty, repeated and null headers, 8 values of 1 MB; bytes are identical")


def test_timestamps_from_none_to_the_year_9999_have_a_date(
    make_stream: Callable[..., Stream], say: Callable[[str], None]
) -> None:
    stream = make_stream(partitions=1)
    with topics.admin(stream.settings) as admin:
        limits = {"message.timestamp.after.max.ms": str((1 << 63) - 1)}
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, stream.name, configs=limits)])
    times = [-1, 0, 1, YEAR_1_MS, YEAR_1_MS - 1, YEAR_9999_MS, YEAR_9999_MS + 1, 1_357_035_300_000, (1 << 62)]
    for time_ms in times:
        stream.send([str(time_ms).encode()], timestamp_ms=time_ms)
    stream.land()
    rows = _lake(stream)
    assert [row["value"] for row in rows] == [str(time_ms).encode() for time_ms in times]
    assert [str(row["event_date"]) for row in rows] == [
        *["1970-01-01"] * 3,
        "0001-01-01",
        "1970-01-01",
        "9999-12-31",
        "1970-01-01",
        "2013-01-01",
        "1970-01-01",
    ]
    assert [row["timestamp"] is None for row in rows] == [
        time_ms in (-1, YEAR_1_MS - 1, YEAR_9999_MS + 1, 1 << 62) for time_ms in times
    ]
    load(stream.settings, stream.contract)
    report = reconcile(stream.settings, {stream.name: stream.contract}, full=True)
    assert report.agrees, report.text()
    say(f"timestamps {times}: all in the lake; missing or out-of-range ones on 1970-01-01; reconcile agrees")
