"""Kafka topics: created from the contracts, and the offsets that Kafka holds."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import OffsetSpec
from kafka.errors import KafkaError, TopicAlreadyExistsError

from sluice.contracts import Contract
from sluice.errors import TerminalError, TransientError
from sluice.settings import Settings

_TIMEOUT_MS = 10_000


@dataclass(frozen=True)
class KafkaRange:
    """The offsets that Kafka holds of one partition, from ``start`` (inclusive) to ``end`` (exclusive).

    ``end`` is the last stable offset: records of an open transaction, and everything after them, lie beyond it.
    """

    stream: str
    topic_id: str
    partition: int
    start: int
    end: int


@contextmanager
def admin(settings: Settings) -> Iterator[KafkaAdminClient]:
    """Opens an admin client.

    Raises:
        TransientError: Kafka is down.
    """
    try:
        client = KafkaAdminClient(
            bootstrap_servers=settings.kafka,
            client_id="sluice-admin",
            request_timeout_ms=_TIMEOUT_MS,
            bootstrap_timeout_ms=_TIMEOUT_MS,
        )
    except KafkaError as error:
        raise _unreachable(settings, error) from error
    try:
        yield client
    except KafkaError as error:
        raise _unreachable(settings, error) from error
    finally:
        client.close()


def provision(settings: Settings, contracts: dict[str, Contract]) -> list[str]:
    """Creates missing topics and adds missing partitions. Idempotent.

    There is no retention by time: Kafka measures it from the records' own timestamps, so past events would be deleted
    within minutes. ``message.timestamp.before.max.ms`` keeps Kafka's default, which accepts any past timestamp.

    Returns:
        The topics that were created.

    Raises:
        TerminalError: a topic has more partitions than its contract; Kafka cannot remove partitions.
        TransientError: Kafka is down.
    """
    with admin(settings) as client:
        existing = set(client.list_topics())
        missing = {
            stream: {
                "num_partitions": contract.topic.partitions,
                "configs": {"retention.ms": "-1", "retention.bytes": str(contract.topic.retention_bytes)},
            }
            for stream, contract in contracts.items()
            if stream not in existing
        }
        if missing:
            try:
                client.create_topics(missing, wait_for_metadata=True)
            except TopicAlreadyExistsError:
                client.wait_for_topics(list(missing))
        for topic in _describe(client, [stream for stream in contracts if stream in existing]):
            expected = contracts[topic["name"]].topic.partitions
            actual = len(topic["partitions"])
            if actual > expected:
                raise TerminalError(
                    f"topic {topic['name']} has {actual} partitions, but its contract has {expected}",
                    f"set topic.partitions to {actual} in the contract; Kafka cannot remove partitions",
                )
            if actual < expected:
                client.create_partitions({topic["name"]: expected})
    return sorted(missing)


def kafka_ranges(settings: Settings, streams: list[str], skip_missing: bool = False) -> list[KafkaRange]:
    """Returns the offsets that Kafka holds of every partition of the streams, sorted by stream and partition.

    Args:
        settings: with the address of Kafka.
        streams: the names of the topics.
        skip_missing: leave out streams without a topic, such as those of a contract that is new or not valid.

    Raises:
        TerminalError: a topic does not exist.
        TransientError: Kafka is down.
    """
    with admin(settings) as client:
        topics = _describe(client, streams, skip_missing)
        partition_topic_ids = {
            TopicPartition(topic["name"], partition["partition_index"]): topic_id(topic["topic_id"])
            for topic in topics
            for partition in topic["partitions"]
        }
        starts = client.list_partition_offsets(dict.fromkeys(partition_topic_ids, OffsetSpec.EARLIEST))
        ends = client.list_partition_offsets(
            dict.fromkeys(partition_topic_ids, OffsetSpec.LATEST), isolation_level="read_committed"
        )
    return sorted(
        (
            KafkaRange(partition.topic, identity, partition.partition, starts[partition].offset, ends[partition].offset)
            for partition, identity in partition_topic_ids.items()
        ),
        key=lambda kafka_range: (kafka_range.stream, kafka_range.partition),
    )


def group_offsets(settings: Settings, groups: list[str], streams: list[str]) -> dict[str, dict[str, int]]:
    """Returns how many offsets of each stream each consumer group has committed, by group and stream.

    Raises:
        TransientError: Kafka is down.
    """
    totals = {group: dict.fromkeys(streams, 0) for group in groups}
    with admin(settings) as client:
        for group, committed in client.list_group_offsets(groups).items():
            for topic_partition, committed_offset in committed.items():
                if topic_partition.topic in totals[group]:
                    totals[group][topic_partition.topic] += max(committed_offset.offset, 0)
    return totals


def topic_ids(settings: Settings, streams: list[str]) -> dict[str, str]:
    """Returns the topic id of each stream. A topic that was deleted and created again has a new id.

    Raises:
        TerminalError: a topic does not exist.
        TransientError: Kafka is down.
    """
    with admin(settings) as client:
        return {topic["name"]: topic_id(topic["topic_id"]) for topic in _describe(client, streams)}


def topic_id(value: Any) -> str:
    """Returns a topic id as text, in whatever form a client returned it."""
    return str(value if isinstance(value, uuid.UUID) else uuid.UUID(str(value)))


def _describe(client: KafkaAdminClient, streams: list[str], skip_missing: bool = False) -> list[dict[str, Any]]:
    if not streams:
        return []
    topics: list[dict[str, Any]] = client.describe_topics(streams)
    if skip_missing:
        return [topic for topic in topics if not topic["error_code"]]
    for topic in topics:
        if topic["error_code"]:
            raise TerminalError(
                f"Kafka has no topic {topic['name']}", "run `make up`, which creates the topic of every contract"
            )
    return topics


def _unreachable(settings: Settings, error: KafkaError) -> TransientError:
    return TransientError(
        f"Kafka at {settings.kafka}: {type(error).__name__}: {error}", "run `make status` and `make logs S=kafka`"
    )
