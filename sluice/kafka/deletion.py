"""Topics that no contract has any more: what they hold, who reads them, and their deletion."""

from dataclasses import dataclass
from typing import Any

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import OffsetSpec
from kafka.errors import UnknownTopicOrPartitionError

from sluice.kafka.admin import admin
from sluice.settings import Settings


@dataclass(frozen=True)
class TopicUse:
    """What a topic holds, and the consumer groups that know it."""

    partitions: int
    records: int
    """Offsets from the first that Kafka has to the end, transaction markers included."""
    groups: tuple[str, ...]
    """The groups that have committed offsets of the topic. Kafka deletes these with the topic."""
    readers: tuple[str, ...]
    """The groups that have a member that reads the topic now."""


def topic_use(settings: Settings, topic: str) -> TopicUse | None:
    """Returns what a topic holds and by which groups it is used; None if there is no such topic.

    Raises:
        TransientError: Kafka is down.
    """
    with admin(settings) as client:
        (described,) = client.describe_topics([topic])
        if described["error_code"]:
            # None of that name, or one that an external Kafka does not show.
            return None
        partitions = [TopicPartition(topic, partition["partition_index"]) for partition in described["partitions"]]
        starts = client.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.EARLIEST))
        ends = client.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.LATEST))
        groups = [group["group_id"] for group in client.list_groups()]
        return TopicUse(
            len(partitions),
            sum(ends[partition].offset - starts[partition].offset for partition in partitions),
            tuple(_groups_with_offsets(client, groups, topic)),
            tuple(_groups_with_readers(client, groups, topic)),
        )


def delete_topic(settings: Settings, topic: str) -> None:
    """Deletes a topic with its records and the offsets that groups have committed of it. Idempotent.

    Raises:
        TransientError: Kafka is down, or rejects the request.
    """
    with admin(settings) as client:
        try:
            client.delete_topics([topic])
        except UnknownTopicOrPartitionError:
            return


def _groups_with_offsets(client: KafkaAdminClient, groups: list[str], topic: str) -> list[str]:
    if not groups:
        return []
    offsets = client.list_group_offsets(groups)
    return sorted(group for group, committed in offsets.items() if any(part.topic == topic for part in committed))


def _groups_with_readers(client: KafkaAdminClient, groups: list[str], topic: str) -> list[str]:
    if not groups:
        return []
    described: dict[str, Any] = client.describe_groups(groups)
    return sorted(
        name for name, group in described.items() if any(_reads(member, topic) for member in group["members"])
    )


def _reads(member: dict[str, Any], topic: str) -> bool:
    # Bytes that are not a consumer's assignment stay bytes.
    assignment = member["member_assignment"]
    return isinstance(assignment, dict) and any(
        assigned["topic"] == topic for assigned in assignment["assigned_partitions"]
    )
