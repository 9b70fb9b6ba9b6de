"""What the members of all consumer groups have in common, in librdkafka's words."""

from sluice.settings import Settings

Options = dict[str, str | int | bool]


def member(settings: Settings, group: str) -> Options:
    """Options of a consumer that shares a group's partitions, and keeps elsewhere how far it has read."""
    return {
        "bootstrap.servers": settings.kafka,
        "client.id": group,
        "group.id": group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "partition.assignment.strategy": "cooperative-sticky",
        # What a killed member had goes on with another, or with its next start, after this.
        "session.timeout.ms": 10_000,
        "heartbeat.interval.ms": 2_000,
        "isolation.level": "read_committed",
        "fetch.message.max.bytes": 1 << 20,
        # A queue that was full is filled again soon, and not after a second.
        "fetch.queue.backoff.ms": 10,
        "allow.auto.create.topics": False,
    }
