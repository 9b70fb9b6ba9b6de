"""Topics of exercises: made, filled, read and deleted."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError

from sluice.errors import TransientError
from sluice.kafka.admin import admin
from sluice.kafka.connection import kafka_python_options
from sluice.kafka.deletion import delete_topic
from sluice.settings import Settings

_SECONDS = 30
_HINT = "run `make status` and `make logs S=kafka`"


@dataclass(frozen=True)
class Record:
    """A record to send."""

    value: bytes | None
    partition: int = 0
    key: bytes | None = None
    timestamp_ms: int | None = None
    """Milliseconds since 1970; None for the time of sending."""

    @classmethod
    def of(cls, fields: Mapping[str, Any], partition: int = 0, timestamp_ms: int | None = None) -> "Record":
        """Returns a record whose value is a JSON object."""
        return cls(json.dumps(fields).encode(), partition, timestamp_ms=timestamp_ms)


def topic_exists(settings: Settings, topic: str) -> bool:
    """Returns whether Kafka has a topic.

    Raises:
        TransientError: Kafka is down.
    """
    with admin(settings) as client:
        return topic in client.list_topics()


def create_topic(settings: Settings, topic: str, partitions: int) -> None:
    """Creates a topic that keeps its records.

    Raises:
        TransientError: Kafka is down, or has the topic.
    """
    with admin(settings) as client:
        configuration = {"num_partitions": partitions, "configs": {"retention.ms": "-1"}}
        client.create_topics({topic: configuration}, wait_for_metadata=True)


@contextmanager
def scratch_topic(settings: Settings, topic: str, partitions: int) -> Iterator[None]:
    """Creates a topic, and deletes it at the end.

    Raises:
        TransientError: Kafka is down.
    """
    create_topic(settings, topic, partitions)
    try:
        yield
    finally:
        delete_topic(settings, topic)


class Sender:
    """Sends records to a topic. It connects to Kafka when it first sends."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self._settings = settings
        self._topic = topic
        self._producer: KafkaProducer | None = None

    def send(self, records: Iterable[Record]) -> list[int]:
        """Sends records and waits until Kafka has them; returns their offsets.

        Raises:
            TransientError: Kafka is down.
        """
        try:
            self._producer = self._producer or KafkaProducer(**kafka_python_options(self._settings), acks="all")
            futures = [
                self._producer.send(
                    self._topic,
                    value=record.value,
                    key=record.key,
                    partition=record.partition,
                    timestamp_ms=record.timestamp_ms,
                )
                for record in records
            ]
            return [future.get(timeout=_SECONDS).offset for future in futures]
        except KafkaError as error:
            raise TransientError(f"sending to topic {self._topic} failed: {error}", _HINT) from error

    def close(self) -> None:
        """Closes the connection."""
        if self._producer is not None:
            self._producer.close()


def send_records(settings: Settings, topic: str, records: Iterable[Record]) -> list[int]:
    """Sends records and waits until Kafka has them; returns their offsets.

    Raises:
        TransientError: Kafka is down.
    """
    with closing(Sender(settings, topic)) as sender:
        return sender.send(records)


def read_values(settings: Settings, topic: str) -> dict[tuple[int, int], bytes | None]:
    """Returns the values of all records of a topic by partition and offset.

    Raises:
        TransientError: Kafka is down.
    """
    values: dict[tuple[int, int], bytes | None] = {}
    try:
        consumer = KafkaConsumer(**kafka_python_options(settings), enable_auto_commit=False)
        try:
            partitions = [TopicPartition(topic, partition) for partition in consumer.partitions_for_topic(topic) or ()]
            consumer.assign(partitions)
            consumer.seek_to_beginning(*partitions)
            ends = consumer.end_offsets(partitions)
            while any(consumer.position(partition) < ends[partition] for partition in partitions):
                for records in consumer.poll(timeout_ms=1000).values():
                    values.update({(record.partition, record.offset): record.value for record in records})
        finally:
            consumer.close(autocommit=False)
    except KafkaError as error:
        raise TransientError(f"reading topic {topic} failed: {error}", _HINT) from error
    return values
