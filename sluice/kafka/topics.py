"""Kafka topics: created from the contracts, and the offsets that Kafka holds."""

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, OffsetSpec
from kafka.errors import InvalidTopicError, KafkaError, TopicAlreadyExistsError, UnknownTopicOrPartitionError

from sluice.contracts import Contract
from sluice.errors import TerminalError, TransientError
from sluice.kafka.topic_settings import (
    CLEANUP_POLICY,
    changed_settings,
    refuse_existing,
    refuse_new,
    topic_settings,
)
from sluice.settings import Settings

_TIMEOUT_MS = 10_000
_NO_SUCH_TOPIC = (UnknownTopicOrPartitionError.errno, InvalidTopicError.errno)


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


@dataclass(frozen=True)
class Provisioned:
    """What provisioning did."""

    created: tuple[str, ...]
    """The topics that are new."""
    changes: tuple[str, ...]
    """A line per change of an existing topic."""


def provision(settings: Settings, contracts: Mapping[str, Contract]) -> Provisioned:
    """Creates missing topics, and changes partitions and settings of the others to those of their contracts.

    Raises:
        TerminalError: a topic cannot be used for its contract; no topic was created or changed.
        TransientError: Kafka is down.
    """
    for error in refused_contracts(settings, contracts).values():
        raise error
    with admin(settings) as client:
        existing = _existing(client, contracts)
        missing = {
            stream: {"num_partitions": contract.topic.partitions, "configs": topic_settings(contract)}
            for stream, contract in contracts.items()
            if stream not in existing
        }
        if missing:
            try:
                client.create_topics(missing, wait_for_metadata=True)
            except TopicAlreadyExistsError:
                client.wait_for_topics(list(missing))
        changes: list[str] = []
        for stream, topic in existing.items():
            changes += _converge(client, contracts[stream], topic)
    return Provisioned(tuple(sorted(missing)), tuple(changes))


def refused_contracts(settings: Settings, contracts: Mapping[str, Contract]) -> dict[str, TerminalError]:
    """Returns, by stream, why its topic cannot be created or used. Changes nothing.

    Raises:
        TransientError: Kafka is down.
    """
    refused: dict[str, TerminalError] = {}
    with admin(settings) as client:
        names = client.list_topics()
        existing = _existing(client, contracts)
        for stream, contract in contracts.items():
            try:
                if stream in existing:
                    refuse_existing(contract, existing[stream].partitions, existing[stream].settings[CLEANUP_POLICY])
                else:
                    refuse_new(contract, names)
            except TerminalError as error:
                refused[stream] = error
    return refused


@dataclass(frozen=True)
class _Topic:
    partitions: int
    settings: dict[str, str]


def _existing(client: KafkaAdminClient, contracts: Mapping[str, Contract]) -> dict[str, _Topic]:
    topics = _describe(client, list(contracts), skip_missing=True)
    resources = [ConfigResource(ConfigResourceType.TOPIC, topic["name"]) for topic in topics]
    configs = client.describe_configs(resources, config_filter="all") if resources else {"topic": {}}
    return {
        topic["name"]: _Topic(
            len(topic["partitions"]),
            {name: config["value"] for name, config in configs["topic"][topic["name"]].items()},
        )
        for topic in topics
    }


def _converge(client: KafkaAdminClient, contract: Contract, topic: _Topic) -> Iterator[str]:
    stream, partitions = contract.stream, contract.topic.partitions
    if topic.partitions < partitions:
        client.create_partitions({stream: partitions})
        yield f"topic {stream}: partitions {topic.partitions} → {partitions}"
    changed = changed_settings(contract, topic.settings)
    if not changed:
        return
    values = {name: value for name, (_, value) in changed.items()}
    results = client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, stream, values)])
    if (result := results["topic"][stream]) != "OK":
        raise TerminalError(f"the settings of topic {stream} cannot be changed: {result}", "see `make logs S=kafka`")
    for name, (actual, value) in changed.items():
        yield f"topic {stream}: {name} {actual} → {value}"


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
        topics = [topic for topic in topics if topic["error_code"] not in _NO_SUCH_TOPIC]
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
