"""Delivery with kafka-python: the live producer's client, and that of every replay at a pace."""

from collections import deque
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from kafka import KafkaProducer
from kafka.errors import InvalidTimestampError, KafkaError, KafkaTimeoutError
from kafka.partitioner import murmur2
from kafka.producer.future import FutureRecordMetadata

from producers.delivery import DELIVERY_TIMEOUT, Delivery, Topic
from producers.events import Event
from sluice.kafka.connection import kafka_python_options
from sluice.settings import Settings

MAX_PENDING = 20_000
"""Maximum number of events in flight. kafka-python does not bound its buffer, so without this limit an outage of the
broker would fill memory."""
MAX_ATTEMPTS = 3
"""How often an event is passed to kafka-python, which itself retries until DELIVERY_TIMEOUT. It fails an event earlier
when its producer epoch changes. The event may then be in Kafka twice; its id says so."""
BOOTSTRAP_SECONDS = 5.0

_CLOSE_SECONDS = 5.0
_KEY_CACHE_SIZE = 20_000


class _Pending(NamedTuple):
    future: FutureRecordMetadata
    event: Event
    attempts: int


_FINAL = (KafkaTimeoutError, InvalidTimestampError)
"""Errors after which another attempt is useless."""


class Producer(Protocol):
    """The part of ``KafkaProducer`` that a delivery uses."""

    _sender: Any

    def send(
        self, topic: str, value: bytes, key: bytes | None, *, partition: int | None, timestamp_ms: int
    ) -> FutureRecordMetadata: ...

    def close(self, timeout: float) -> None: ...


def new_producer(settings: Settings) -> Producer:
    """Returns an idempotent producer, connected to Kafka.

    Raises:
        OSError, KafkaError: Kafka is down, or rejects the credentials.
    """
    producer: Producer = KafkaProducer(
        **kafka_python_options(settings),
        client_id="sluice-producer",
        acks="all",
        enable_idempotence=True,
        compression_type="lz4",
        batch_size=512 * 1024,
        linger_ms=100,
        delivery_timeout_ms=DELIVERY_TIMEOUT * 1_000,
        request_timeout_ms=30_000,
        reconnect_backoff_max_ms=1_000,
        bootstrap_timeout_ms=BOOTSTRAP_SECONDS * 1_000,
        allow_auto_create_topics=False,
        metrics_enabled=False,
    )
    return producer


class KafkaPythonDelivery(Delivery):
    """Sends events through kafka-python, and knows which of them are in flight."""

    def __init__(self, producer: Producer, topics: Mapping[str, Topic], address: str) -> None:
        """Takes ownership of the producer.

        Args:
            producer: idempotent, with ``acks="all"``.
            topics: the topic of each stream.
            address: Kafka's, for messages.
        """
        super().__init__(address)
        self._producer = producer
        self._topics = topics
        self._pending: deque[_Pending] = deque()
        self._hash = lru_cache(maxsize=_KEY_CACHE_SIZE)(murmur2)

    @property
    def in_flight(self) -> int:
        return len(self._pending)

    @property
    def full(self) -> bool:
        return len(self._pending) >= MAX_PENDING

    @property
    def oldest_pending(self) -> int | None:
        """The earliest timestamp, in milliseconds, of the events in flight; None if there are none."""
        return min((pending.event.timestamp for pending in self._pending), default=None)

    def send(self, event: Event) -> None:
        self._send(event, 1)

    def _send(self, event: Event, attempts: int) -> None:
        stream, key, value, timestamp, _, _ = event
        topic, partitions = self._topics[stream]
        # Without a key, kafka-python chooses the partition.
        partition = None if key is None else (self._hash(key) & 0x7FFFFFFF) % partitions
        try:
            future = self._producer.send(topic, value, key, partition=partition, timestamp_ms=timestamp)
        except (KafkaError, ValueError) as error:
            raise self.not_accepted(topic, error) from None
        self._pending.append(_Pending(future, event, attempts))

    def poll(self) -> None:
        # In the order of sending.
        pending = self._pending
        while pending and pending[0].future.is_done:
            future, event, attempts = pending.popleft()
            if future.exception is None:
                self.confirmed[event.stream, event.fault] += 1
            elif attempts < MAX_ATTEMPTS and not isinstance(future.exception, _FINAL):
                self._send(event, attempts + 1)
            else:
                self.failures.append(future.exception)

    def close(self) -> None:
        if self._pending:
            # KafkaProducer.close() waits for them, and on a timeout raises before its thread has ended.
            self._producer._sender.force_close()
        self._producer.close(timeout=_CLOSE_SECONDS)
