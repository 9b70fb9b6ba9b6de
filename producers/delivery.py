"""Delivery of events to Kafka; every single event is tracked until the broker confirms it."""

import logging
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from kafka import KafkaAdminClient, KafkaProducer
from kafka.errors import InvalidTimestampError, KafkaError, KafkaTimeoutError
from kafka.partitioner import murmur2
from kafka.producer.future import FutureRecordMetadata

from producers.events import Event
from producers.stop import Stop
from sluice.errors import SluiceError, TerminalError, TransientError
from sluice.kafka.connection import kafka_python_options
from sluice.settings import Settings

MAX_PENDING = 20_000
"""Maximum number of events in flight. kafka-python does not bound its buffer, so without this limit an outage of the
broker would fill memory."""
DELIVERY_TIMEOUT = 300.0
"""Seconds until an event that Kafka has not accepted counts as not delivered."""
MAX_ATTEMPTS = 3
"""How often an event is passed to kafka-python, which itself retries until DELIVERY_TIMEOUT. It fails an event earlier
when its producer epoch changes. The event may then be in Kafka twice; its id says so."""
SHUTDOWN_TIMEOUT = 30.0
"""Seconds to wait for events in flight after a signal to stop."""

_CONNECT_SECONDS = 3.0
_BOOTSTRAP_SECONDS = 5.0
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


class Topic(NamedTuple):
    """A stream's topic."""

    name: str
    partitions: int


def connect(settings: Settings, topics: Mapping[str, str]) -> "Delivery":
    """Connects to Kafka and checks that every stream has a topic.

    Args:
        settings: with Kafka's address.
        topics: the name of the topic of each stream to be sent.

    Raises:
        TransientError: Kafka is down.
        TerminalError: a topic is missing, or Kafka rejects the credentials.
    """
    # kafka-python logs every lost connection and retry; the errors raised here are more useful.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    try:
        if not settings.kafka_bootstrap:
            # kafka-python would retry for longer.
            with socket.create_connection((settings.kafka_host, settings.kafka_port), timeout=_CONNECT_SECONDS):
                pass
        found = _find_topics(settings, topics)
        producer = KafkaProducer(
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
            bootstrap_timeout_ms=_BOOTSTRAP_SECONDS * 1_000,
            allow_auto_create_topics=False,
            metrics_enabled=False,
        )
    except (OSError, KafkaError) as error:
        raise _down(settings, error) from None
    return Delivery(producer, found, settings.kafka)


class Delivery:
    """Sends events through a producer. ``send`` and ``poll`` must be called from one thread."""

    def __init__(self, producer: Producer, topics: Mapping[str, Topic], address: str) -> None:
        """Takes ownership of the producer.

        Args:
            producer: idempotent, with ``acks="all"``.
            topics: the topic of each stream.
            address: Kafka's, for messages.
        """
        self.confirmed: Counter[tuple[str, str]] = Counter()
        """Number of confirmed records by stream and injected fault (empty for none)."""
        self.failures: list[Exception] = []
        """The error of each event that could not be delivered."""
        self._producer = producer
        self._topics = topics
        self._address = address
        self._pending: deque[_Pending] = deque()
        self._hash = lru_cache(maxsize=_KEY_CACHE_SIZE)(murmur2)

    @property
    def total(self) -> int:
        """Number of confirmed records."""
        return self.confirmed.total()

    @property
    def unconfirmed(self) -> int:
        """Number of records that were sent but not confirmed, whether in flight or failed."""
        return len(self._pending) + len(self.failures)

    @property
    def full(self) -> bool:
        """Whether the sender must wait for confirmations before it sends more."""
        return len(self._pending) >= MAX_PENDING

    @property
    def oldest_pending(self) -> int | None:
        """The earliest timestamp, in milliseconds, of the events in flight; None if there are none."""
        return min((pending.event.timestamp for pending in self._pending), default=None)

    def send(self, event: Event) -> None:
        """Sends an event without waiting; ``poll`` processes the confirmation.

        Raises:
            TransientError: kafka-python does not accept it now, for example because the topic was deleted.
        """
        self._send(event, 1)

    def _send(self, event: Event, attempts: int) -> None:
        stream, key, value, timestamp, _, _ = event
        topic, partitions = self._topics[stream]
        # Without a key, kafka-python chooses the partition.
        partition = None if key is None else (self._hash(key) & 0x7FFFFFFF) % partitions
        try:
            future = self._producer.send(topic, value, key, partition=partition, timestamp_ms=timestamp)
        except (KafkaError, ValueError) as error:
            raise TransientError(
                f"Kafka at {self._address} no longer accepts events for {topic}: {error}", "check `make status`"
            ) from None
        self._pending.append(_Pending(future, event, attempts))

    def poll(self) -> None:
        """Processes the confirmations and errors received so far, in the order of sending, without waiting."""
        pending = self._pending
        while pending and pending[0].future.is_done:
            future, event, attempts = pending.popleft()
            if future.exception is None:
                self.confirmed[event.stream, event.fault] += 1
            elif attempts < MAX_ATTEMPTS and not isinstance(future.exception, _FINAL):
                self._send(event, attempts + 1)
            else:
                self.failures.append(future.exception)

    def flush(self, stop: Stop, tick: Callable[[], None]) -> None:
        """Waits for the events in flight: SHUTDOWN_TIMEOUT at most after a signal, not at all after a second one.

        Args:
            stop: the signals.
            tick: called several times a second while waiting.
        """
        self.poll()
        while self._pending and not stop.forced and stop.age < SHUTDOWN_TIMEOUT:
            tick()
            time.sleep(0.02)
            self.poll()

    def delivery_error(self) -> SluiceError:
        """Returns the error for the unconfirmed events: their number and the causes."""
        refused = sum(isinstance(error, InvalidTimestampError) for error in self.failures)
        if refused:
            return TerminalError(
                f"{refused:,} events were refused by Kafka at {self._address}: their timestamps, or those of events in"
                " the same batch, are more than an hour in the future",
                "correct the event times or this host's clock, or send them with the current time as timestamp",
            )
        counts = Counter(type(error).__name__ for error in self.failures)
        causes = ", ".join(f"{count:,} {name}" for name, count in counts.most_common()) or "no confirmation"
        return TransientError(
            f"{self.unconfirmed:,} events were not delivered to Kafka at {self._address}: {causes}",
            "check `make status`, then send again: an event that was sent twice counts once by its id",
        )

    def close(self) -> None:
        """Closes the connection and abandons the events in flight."""
        if self._pending:
            # KafkaProducer.close() waits for them, and on a timeout raises before its thread has ended.
            self._producer._sender.force_close()
        self._producer.close(timeout=_CLOSE_SECONDS)


def _down(settings: Settings, error: Exception) -> SluiceError:
    if settings.kafka_bootstrap:
        from sluice.kafka.diagnosis import connection_fault

        if fault := connection_fault(settings):
            return fault
    return TransientError(
        f"Kafka at {settings.kafka} is down: {str(error) or type(error).__name__}", "start it with `make up`"
    )


def _find_topics(settings: Settings, topics: Mapping[str, str]) -> dict[str, Topic]:
    admin = KafkaAdminClient(
        **kafka_python_options(settings), bootstrap_timeout_ms=_BOOTSTRAP_SECONDS * 1_000, request_timeout_ms=10_000
    )
    try:
        known = set(admin.list_topics())
        missing = [topic for topic in topics.values() if topic not in known]
        if missing:
            raise TerminalError(
                f"Kafka at {settings.kafka} has no topic {', '.join(missing)}",
                "run `make up`, which creates the topics",
            )
        found = {topic["name"]: len(topic["partitions"]) for topic in admin.describe_topics([*topics.values()])}
    finally:
        admin.close()
    return {stream: Topic(topic, found[topic]) for stream, topic in topics.items()}
