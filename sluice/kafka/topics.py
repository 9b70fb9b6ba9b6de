"""Kafka topics: made from the contracts, and what Kafka holds of them."""

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
    """What Kafka holds of one partition: offsets ``start`` (kept) up to, without, ``end``.

    What an unfinished transaction holds back, and all that follows it, lies beyond ``end``.
    """

    stream: str
    topic_id: str
    partition: int
    start: int
    end: int


@contextmanager
def admin(settings: Settings) -> Iterator[KafkaAdminClient]:
    """An admin client.

    Raises:
        TransientError: Kafka does not answer.
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
    """Creates the topics that are missing and adds missing partitions; harmless when nothing is.

    There is no retention by time: Kafka counts it from the records' own timestamps, and events of the past would be
    deleted within minutes. ``message.timestamp.before.max.ms`` is left at Kafka's default, which accepts any past.

    Returns:
        The topics that were created.

    Raises:
        TerminalError: a topic has more partitions than its contract says; Kafka cannot take one away.
        TransientError: Kafka does not answer.
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
            wanted = contracts[topic["name"]].topic.partitions
            found = len(topic["partitions"])
            if found > wanted:
                raise TerminalError(
                    f"topic {topic['name']} has {found} partitions, its contract says {wanted}",
                    f"set topic.partitions to {found}; Kafka cannot remove partitions",
                )
            if found < wanted:
                client.create_partitions({topic["name"]: wanted})
    return sorted(missing)


def kafka_ranges(settings: Settings, streams: list[str]) -> list[KafkaRange]:
    """The first and the next offset of every partition of the given streams' topics.

    Raises:
        TerminalError: a topic does not exist.
        TransientError: Kafka does not answer.
    """
    with admin(settings) as client:
        topics = _describe(client, streams)
        places = {
            TopicPartition(topic["name"], partition["partition_index"]): topic_id(topic["topic_id"])
            for topic in topics
            for partition in topic["partitions"]
        }
        starts = client.list_partition_offsets(dict.fromkeys(places, OffsetSpec.EARLIEST))
        ends = client.list_partition_offsets(dict.fromkeys(places, OffsetSpec.LATEST), isolation_level="read_committed")
    return sorted(
        (
            KafkaRange(place.topic, identity, place.partition, starts[place].offset, ends[place].offset)
            for place, identity in places.items()
        ),
        key=lambda found: (found.stream, found.partition),
    )


def group_offsets(settings: Settings, groups: list[str], streams: list[str]) -> dict[str, dict[str, int]]:
    """How many records of each stream the consumer groups have behind them, by group and stream, as they last said.

    Raises:
        TransientError: Kafka does not answer.
    """
    found = {group: dict.fromkeys(streams, 0) for group in groups}
    with admin(settings) as client:
        for group, committed in client.list_group_offsets(groups).items():
            for place, offset in committed.items():
                if place.topic in found[group]:
                    found[group][place.topic] += max(offset.offset, 0)
    return found


def topic_ids(settings: Settings, streams: list[str]) -> dict[str, str]:
    """The id of each stream's topic. A topic that was deleted and created again has another one.

    Raises:
        TerminalError: a topic does not exist.
        TransientError: Kafka does not answer.
    """
    with admin(settings) as client:
        return {topic["name"]: topic_id(topic["topic_id"]) for topic in _describe(client, streams)}


def topic_id(value: Any) -> str:
    """A topic's id as text, whatever form a client gives it in."""
    return str(value if isinstance(value, uuid.UUID) else uuid.UUID(str(value)))


def _describe(client: KafkaAdminClient, streams: list[str]) -> list[dict[str, Any]]:
    if not streams:
        return []
    topics: list[dict[str, Any]] = client.describe_topics(streams)
    for topic in topics:
        if topic["error_code"]:
            raise TerminalError(f"Kafka has no topic {topic['name']}", "`make up` creates the contracts' topics")
    return topics


def _unreachable(settings: Settings, error: KafkaError) -> TransientError:
    return TransientError(
        f"Kafka at {settings.kafka}: {type(error).__name__}: {error}", "see `make status` and `make logs S=kafka`"
    )
