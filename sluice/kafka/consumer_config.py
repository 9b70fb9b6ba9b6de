"""The librdkafka settings that all consumer groups share."""

from sluice.settings import Settings

Options = dict[str, str | int | bool]


def consumer_config(settings: Settings, group: str) -> Options:
    """Returns the settings of a consumer that shares its group's partitions and keeps its offsets outside Kafka."""
    return {
        "bootstrap.servers": settings.kafka,
        "client.id": group,
        "group.id": group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "partition.assignment.strategy": "cooperative-sticky",
        # A killed member's partitions go to another member, or to its next start, after this.
        "session.timeout.ms": 10_000,
        "heartbeat.interval.ms": 2_000,
        "isolation.level": "read_committed",
        "fetch.message.max.bytes": 1 << 20,
        # A full queue is refilled soon, not after a second.
        "fetch.queue.backoff.ms": 10,
        "allow.auto.create.topics": False,
    }
