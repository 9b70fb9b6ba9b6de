"""Consumer groups of exercises: how far they have read, members that were killed, and their deletion."""

from dataclasses import dataclass

from kafka import TopicPartition
from kafka.admin import MemberToRemove, OffsetSpec

from sluice.kafka.admin import admin
from sluice.settings import Settings


@dataclass(frozen=True)
class Lag:
    """How far a group has read one partition."""

    committed: int
    """The next offset that the group reads; 0 if it has committed none."""
    end: int
    """The partition's end (exclusive)."""

    @property
    def records(self) -> int:
        """Offsets that the group has not committed."""
        return self.end - self.committed


def group_lag(settings: Settings, group: str, topic: str) -> dict[int, Lag]:
    """Returns the lag of a group per partition of a topic.

    Raises:
        TransientError: Kafka is down.
    """
    with admin(settings) as client:
        (described,) = client.describe_topics([topic])
        partitions = [TopicPartition(topic, partition["partition_index"]) for partition in described["partitions"]]
        ends = client.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.LATEST))
        committed = client.list_group_offsets([group])[group]
    return {
        place.partition: Lag(max(committed[place].offset, 0) if place in committed else 0, ends[place].offset)
        for place in sorted(partitions)
    }


def evict_members(settings: Settings, group: str) -> None:
    """Removes the members of a group that were killed: others need not wait until their sessions end.

    Raises:
        TransientError: Kafka is down.
    """
    with admin(settings) as client:
        if group in {known["group_id"] for known in client.list_groups()}:
            members = client.describe_groups([group])[group]["members"]
            client.remove_group_members(group, [MemberToRemove(member_id=member["member_id"]) for member in members])


def delete_group(settings: Settings, group: str) -> None:
    """Deletes a group whose members have all ended, also by a kill. Idempotent.

    Raises:
        TransientError: Kafka is down.
    """
    evict_members(settings, group)
    with admin(settings) as client:
        client.delete_groups([group])
