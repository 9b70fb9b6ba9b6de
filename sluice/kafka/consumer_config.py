"""The librdkafka settings shared by all consumer groups."""

from sluice.kafka.connection import Options, librdkafka_options
from sluice.settings import Settings


def consumer_config(settings: Settings, group: str) -> Options:
    """Returns the settings of a consumer in a group that stores its offsets outside Kafka."""
    return librdkafka_options(settings) | {
        "client.id": group,
        "group.id": group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "partition.assignment.strategy": "cooperative-sticky",
        # How long until the partitions of a killed member go to another member, or to the same one restarted.
        "session.timeout.ms": 10_000,
        "heartbeat.interval.ms": 2_000,
        "isolation.level": "read_committed",
        "fetch.message.max.bytes": 1 << 20,
        # Resume fetching soon after a full queue has drained; the default is a second.
        "fetch.queue.backoff.ms": 10,
        "allow.auto.create.topics": False,
    }
