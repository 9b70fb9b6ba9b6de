"""Holes: offsets that no consumer of committed records receives, and whether Kafka's own log says why.

A consumer is told neither of Kafka's control records nor of the records of aborted transactions; it only sees that
offsets are missing. Their batches are still in the log, and the batches' headers say what they are.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from kafka import KafkaAdminClient, TopicPartition
from kafka.errors import for_code
from kafka.protocol.consumer import FetchRequest
from kafka.record.memory_records import MemoryRecords

from sluice.kafka.admin import admin
from sluice.settings import Settings

Hole = tuple[int, int]
"""The first offset of a hole, and the first after it."""

_FETCH_BYTES = 4 << 20
_READ_COMMITTED = 1
_LAST_VERSION_WITH_NAMES = 12
"""Later versions of the request name topics by their ids."""


@dataclass(frozen=True)
class RecordBatch:
    """The header of a batch in Kafka's log, which covers offsets from ``start`` to before ``end``."""

    start: int
    end: int
    producer_id: int = -1
    transactional: bool = False
    control: bool = False
    """Whether it holds a control record, such as the marker that ends a transaction."""
    aborts: bool = False
    """Whether its control record ends an aborted transaction."""


@dataclass(frozen=True)
class Fetched:
    """Consecutive batches of a partition, and the aborted transactions in them: producer id and first offset."""

    batches: Sequence[RecordBatch]
    aborted: Sequence[tuple[int, int]]


def unexplained_holes(settings: Settings, topic: str, partition: int, holes: Iterable[Hole]) -> Iterator[Hole]:
    """Yields the offsets in holes that neither a control record nor an aborted transaction explains.

    Only the batches at the holes are read, each once. Without a hole, Kafka is not asked.

    Args:
        settings: with Kafka's address.
        topic: its name.
        partition: its partition.
        holes: in ascending order, between the offsets that Kafka has.

    Raises:
        TransientError: Kafka is down.
    """
    holes = iter(holes)
    first = next(holes, None)
    if first is None:
        return
    with admin(settings) as client:
        topic_partition = TopicPartition(topic, partition)
        yield from unexplained(chain([first], holes), lambda offset: _fetch(client, topic_partition, offset))


def unexplained(holes: Iterable[Hole], fetch: Callable[[int], Fetched]) -> Iterator[Hole]:
    """Yields as ``unexplained_holes`` does, given what returns the batches from an offset on."""
    explained: list[Hole] = []
    known = 0
    for start, end in holes:
        while known < end:
            fetched = fetch(max(start, known))
            known = fetched.batches[-1].end if fetched.batches else end
            explained += without_record(fetched)
        yield from remaining((start, end), explained)
        explained = [(first, after) for first, after in explained if after > end]


def without_record(fetched: Fetched) -> list[Hole]:
    """Returns the offsets of control records and of aborted transactions."""
    starting = sorted(fetched.aborted, key=lambda transaction: transaction[1])
    aborting: set[int] = set()
    result = []
    for batch in fetched.batches:
        while starting and starting[0][1] < batch.end:
            aborting.add(starting.pop(0)[0])
        if batch.control or (batch.transactional and batch.producer_id in aborting):
            result.append((batch.start, batch.end))
        if batch.aborts:
            aborting.discard(batch.producer_id)
    return result


def remaining(hole: Hole, explained: Iterable[Hole]) -> Iterator[Hole]:
    """Yields the parts of a hole that ascending ranges leave over."""
    start, end = hole
    for first, after in explained:
        if first > start and start < end:
            yield start, min(first, end)
        start = max(start, after)
    if start < end:
        yield start, end


def _fetch(client: KafkaAdminClient, topic_partition: TopicPartition, offset: int) -> Fetched:
    """Returns the batches from the one that contains an offset on, or from the next one after it."""
    part = client._manager.run(_send_fetch, client, topic_partition, offset)
    if error := part.error_code:
        raise for_code(error)(f"fetching {topic_partition} from offset {offset} failed")
    batches = []
    for batch in MemoryRecords(part.records or b""):
        control = batch.is_control_batch
        aborts = control and any(getattr(record, "abort", False) for record in batch)
        header = (batch.base_offset, batch.next_offset, batch.producer_id)
        batches.append(RecordBatch(*header, batch.is_transactional, control, aborts))
    aborted = part.aborted_transactions or []
    return Fetched(batches, [(entry.producer_id, entry.first_offset) for entry in aborted])  # codespell:ignore


async def _send_fetch(client: KafkaAdminClient, topic_partition: TopicPartition, offset: int) -> Any:
    # kafka-python's consumer hides what it skips, so the request is sent as its fetcher sends it.
    ((leader, _),) = (await client._async_get_leader_for_partitions({topic_partition})).items()
    partition = FetchRequest.FetchTopic.FetchPartition(
        partition=topic_partition.partition, fetch_offset=offset, partition_max_bytes=_FETCH_BYTES
    )
    topic = FetchRequest.FetchTopic(topic=topic_partition.topic, partitions=[partition])
    request = FetchRequest(
        max_wait_ms=0,
        max_bytes=_FETCH_BYTES,
        isolation_level=_READ_COMMITTED,
        session_epoch=-1,
        topics=[topic],
        max_version=_LAST_VERSION_WITH_NAMES,
    )
    response = await client._manager.send(request, node_id=leader)
    return response.responses[0].partitions[0]
