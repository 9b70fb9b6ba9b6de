"""The last record of partitions: which event time is arriving now."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from sluice.errors import TransientError
from sluice.kafka.connection import kafka_python_options
from sluice.settings import Settings

WAIT_SECONDS = 3.0
"""How long Kafka may take. The last offset of a partition may hold no record, but the end of a transaction."""


def last_timestamp(settings: Settings, ends: Mapping[tuple[str, int], int]) -> datetime | None:
    """Returns the newest timestamp among the last records of some partitions.

    Args:
        settings: with the address of Kafka.
        ends: by topic and partition, its next offset, which is greater than 0.

    Returns:
        The time; None without any record, or if Python has no such time.

    Raises:
        TransientError: Kafka is down.
    """
    last = {TopicPartition(*place): end - 1 for place, end in ends.items()}
    newest = -1
    try:
        consumer = KafkaConsumer(
            **kafka_python_options(settings), group_id=None, enable_auto_commit=False, max_partition_fetch_bytes=1
        )
    except KafkaError as error:
        raise TransientError(f"Kafka at {settings.kafka}: {error}", "run `make status`") from error
    try:
        consumer.assign([*last])
        for partition, offset in last.items():
            consumer.seek(partition, offset)
        deadline = time.monotonic() + WAIT_SECONDS
        while last and time.monotonic() < deadline:
            for partition, records in consumer.poll(timeout_ms=500).items():
                newest = max(newest, *(record.timestamp for record in records))
                last.pop(partition, None)
                consumer.pause(partition)
    except KafkaError as error:
        raise TransientError(f"Kafka at {settings.kafka}: {error}", "run `make status`") from error
    finally:
        consumer.close()
    try:
        return datetime.fromtimestamp(newest / 1_000, UTC) if newest >= 0 else None
    except (OverflowError, ValueError):
        return None
