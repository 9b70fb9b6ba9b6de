"""Kafka topics: created from the contracts, and the offsets that Kafka holds."""

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, OffsetSpec
from kafka.errors import (
    AuthorizationError,
    InvalidTopicError,
    KafkaError,
    PolicyViolationError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)

from sluice.contracts import Contract, topic_names
from sluice.errors import TerminalError
from sluice.kafka.admin import admin, reason, user
from sluice.kafka.topic_settings import (
    CLEANUP_POLICY,
    changed_settings,
    differences,
    refuse_existing,
    refuse_new,
    topic_settings,
)
from sluice.settings import Settings

_NO_SUCH_TOPIC = (UnknownTopicOrPartitionError.errno, InvalidTopicError.errno)


@dataclass(frozen=True)
class KafkaRange:
    """The offsets that Kafka holds of one partition, from ``start`` (inclusive) to ``end`` (exclusive).

    ``end`` is the last stable offset: records of an open transaction, and everything after them, lie beyond it.
    """

    stream: str
    topic: str
    topic_id: str
    partition: int
    start: int
    end: int


@dataclass(frozen=True)
class Provisioned:
    """What provisioning did."""

    created: tuple[str, ...]
    """The topics that are new."""
    changes: tuple[str, ...]
    """A line per change of an existing topic; of an external Kafka, per difference."""


def provision(settings: Settings, contracts: Mapping[str, Contract]) -> Provisioned:
    """Creates missing topics, and changes partitions and settings of the others to those of their contracts.

    The topics of an external Kafka are used as they are.

    Raises:
        TerminalError: a topic cannot be used for its contract; no topic was created or changed. Or the user of an
            external Kafka may not create a topic; the others were created.
        TransientError: Kafka is down.
    """
    for error in refused_contracts(settings, contracts).values():
        raise error
    with admin(settings) as client:
        existing = _existing(client, contracts)
        missing = {stream: contract for stream, contract in contracts.items() if stream not in existing}
        if missing:
            _create(settings, client, missing)
        changes: list[str] = []
        for stream, topic in existing.items():
            if settings.kafka_bootstrap:
                changes += differences(contracts[stream], topic.partitions, topic.settings)
            else:
                changes += _converge(client, contracts[stream], topic)
    return Provisioned(tuple(sorted(contract.topic_name for contract in missing.values())), tuple(changes))


def refused_contracts(settings: Settings, contracts: Mapping[str, Contract]) -> dict[str, TerminalError]:
    """Returns, by stream, why its topic cannot be created or used. Changes nothing.

    Raises:
        TransientError: Kafka is down.
    """
    refused: dict[str, TerminalError] = {}
    external = bool(settings.kafka_bootstrap)
    with admin(settings) as client:
        names = client.list_topics()
        existing = _existing(client, contracts)
        for stream, contract in contracts.items():
            try:
                if topic := existing.get(stream):
                    cleanup_policy = topic.settings.get(CLEANUP_POLICY, "")
                    refuse_existing(contract, topic.partitions, cleanup_policy, external=external)
                else:
                    refuse_new(contract, names)
            except TerminalError as error:
                refused[stream] = error
    return refused


@dataclass(frozen=True)
class _Topic:
    partitions: int
    settings: dict[str, str]
    """Empty if the user may not read them."""


def _existing(client: KafkaAdminClient, contracts: Mapping[str, Contract]) -> dict[str, _Topic]:
    topics = _describe(client, topic_names(contracts), skip_missing=True)
    resources = [ConfigResource(ConfigResourceType.TOPIC, topic["name"]) for topic in topics.values()]
    configs = client.describe_configs(resources, config_filter="all") if resources else {"topic": {}}
    return {
        stream: _Topic(
            len(topic["partitions"]),
            {name: config["value"] for name, config in configs["topic"][topic["name"]].items()},
        )
        for stream, topic in topics.items()
    }


def _create(settings: Settings, client: KafkaAdminClient, contracts: Mapping[str, Contract]) -> None:
    missing: dict[str, dict[str, Any]] = {
        contract.topic_name: {"num_partitions": contract.topic.partitions, "configs": topic_settings(contract)}
        for contract in contracts.values()
    }
    if not settings.kafka_bootstrap:
        _create_or_wait(client, missing)
        return
    refused: dict[str, KafkaError] = {}
    for name, topic in missing.items():
        try:
            _create_or_wait(client, {name: topic})
        except (AuthorizationError, PolicyViolationError) as error:
            refused[name] = error
    if refused:
        wanted = "; ".join(
            f"{name} with {missing[name]['num_partitions']} partitions and "
            + ", ".join(f"{setting}={value}" for setting, value in missing[name]["configs"].items())
            for name in refused
        )
        cause = reason(next(iter(refused.values())))
        raise TerminalError(
            f"Kafka at {settings.kafka}: {user(settings)} may not create {', '.join(refused)}: {cause}",
            f"ask Kafka's administrator to create {wanted}; or to allow Create on these topics",
        )


def _create_or_wait(client: KafkaAdminClient, topics: Mapping[str, Mapping[str, Any]]) -> None:
    try:
        client.create_topics(topics, wait_for_metadata=True)
    except TopicAlreadyExistsError:
        client.wait_for_topics(list(topics))


def _converge(client: KafkaAdminClient, contract: Contract, topic: _Topic) -> Iterator[str]:
    name, partitions = contract.topic_name, contract.topic.partitions
    if topic.partitions < partitions:
        client.create_partitions({name: partitions})
        yield f"topic {name}: partitions {topic.partitions} → {partitions}"
    changed = changed_settings(contract, topic.settings)
    if not changed:
        return
    values = {setting: value for setting, (_, value) in changed.items()}
    results = client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, values)])
    if (result := results["topic"][name]) != "OK":
        raise TerminalError(f"the settings of topic {name} cannot be changed: {result}", "see `make logs S=kafka`")
    for setting, (actual, value) in changed.items():
        yield f"topic {name}: {setting} {actual} → {value}"


def kafka_ranges(settings: Settings, topics: Mapping[str, str], skip_missing: bool = False) -> list[KafkaRange]:
    """Returns the offsets that Kafka holds of every partition of the streams, sorted by stream and partition.

    Args:
        settings: with the address of Kafka.
        topics: the name of the topic of each stream.
        skip_missing: leave out streams without a topic, such as those of a contract that is new or not valid.

    Raises:
        TerminalError: a topic does not exist.
        TransientError: Kafka is down.
    """
    with admin(settings) as client:
        partitions = {
            TopicPartition(topic["name"], partition["partition_index"]): (stream, topic_id(topic["topic_id"]))
            for stream, topic in _describe(client, topics, skip_missing).items()
            for partition in topic["partitions"]
        }
        starts = client.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.EARLIEST))
        ends = client.list_partition_offsets(
            dict.fromkeys(partitions, OffsetSpec.LATEST), isolation_level="read_committed"
        )
    return sorted(
        (
            KafkaRange(stream, place.topic, identity, place.partition, starts[place].offset, ends[place].offset)
            for place, (stream, identity) in partitions.items()
        ),
        key=lambda kafka_range: (kafka_range.stream, kafka_range.partition),
    )


def group_offsets(settings: Settings, groups: list[str], topics: Mapping[str, str]) -> dict[str, dict[str, int]]:
    """Returns how many offsets of each stream each consumer group has committed, by group and stream.

    Args:
        settings: with the address of Kafka.
        groups: the consumer groups.
        topics: the name of the topic of each stream.

    Raises:
        TransientError: Kafka is down.
    """
    streams = {topic: stream for stream, topic in topics.items()}
    totals = {group: dict.fromkeys(topics, 0) for group in groups}
    with admin(settings) as client:
        for group, committed in client.list_group_offsets(groups).items():
            for topic_partition, committed_offset in committed.items():
                if stream := streams.get(topic_partition.topic):
                    totals[group][stream] += max(committed_offset.offset, 0)
    return totals


def topic_ids(settings: Settings, topics: Mapping[str, str]) -> dict[str, str]:
    """Returns the topic id of each stream. A topic that was deleted and created again has a new id.

    Args:
        settings: with the address of Kafka.
        topics: the name of the topic of each stream.

    Raises:
        TerminalError: a topic does not exist.
        TransientError: Kafka is down.
    """
    with admin(settings) as client:
        return {stream: topic_id(topic["topic_id"]) for stream, topic in _describe(client, topics).items()}


def topic_id(value: Any) -> str:
    """Returns a topic id as text, in whatever form a client returned it."""
    return str(value if isinstance(value, uuid.UUID) else uuid.UUID(str(value)))


def _describe(
    client: KafkaAdminClient, topics: Mapping[str, str], skip_missing: bool = False
) -> dict[str, dict[str, Any]]:
    """Returns Kafka's description of each stream's topic, by stream."""
    if not topics:
        return {}
    found: dict[str, dict[str, Any]] = {topic["name"]: topic for topic in client.describe_topics([*topics.values()])}
    described = {stream: found[topic] for stream, topic in topics.items()}
    if skip_missing:
        described = {stream: topic for stream, topic in described.items() if topic["error_code"] not in _NO_SUCH_TOPIC}
    for topic in described.values():
        if topic["error_code"] == TopicAuthorizationFailedError.errno:
            raise TerminalError(
                f"Kafka does not let this user see topic {topic['name']}, or does not have it",
                "ask Kafka's administrator to allow Describe and Read on the topic, or to create it",
            )
        if topic["error_code"]:
            raise TerminalError(
                f"Kafka has no topic {topic['name']}", "run `make up`, which creates the topic of every contract"
            )
    return described
