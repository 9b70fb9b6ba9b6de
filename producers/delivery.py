"""Kafka's edge: sends events and knows of every single one whether the broker has confirmed it."""

import logging
import socket
import time
from collections import Counter, deque
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from kafka import KafkaAdminClient, KafkaProducer
from kafka.errors import KafkaError, KafkaTimeoutError
from kafka.partitioner import murmur2
from kafka.producer.future import FutureRecordMetadata

from producers.events import Event
from producers.stop import Stop
from sluice.errors import TerminalError, TransientError

PENDING = 20_000
"""Events on their way at most: kafka-python does not bound its buffer, so a broker that is down would fill memory."""
PATIENCE = 300.0
"""Seconds until an event that Kafka does not take counts as not delivered."""
ATTEMPTS = 3
"""How often an event is given to kafka-python, which itself tries until PATIENCE is over. It gives events up earlier
where it changes its producer epoch under them; sent again they have the same event_id."""
PARTING = 30.0
"""Seconds that what is on its way may take after a signal to stop."""

_CONNECT_SECONDS = 3.0
_BOOTSTRAP_SECONDS = 5.0
_CLOSE_SECONDS = 5.0
_KEYS = 20_000


class _Pending(NamedTuple):
    future: FutureRecordMetadata
    event: Event
    attempts: int


class Producer(Protocol):
    """What is used of ``KafkaProducer``."""

    _sender: Any

    def send(
        self, topic: str, value: bytes, key: bytes, *, partition: int, timestamp_ms: int
    ) -> FutureRecordMetadata: ...

    def close(self, timeout: float) -> None: ...


def connect(address: str, streams: tuple[str, ...]) -> "Delivery":
    """Connects to Kafka, and sees that every stream has its topic.

    Args:
        address: Kafka's ``host:port``.
        streams: the topics that will be sent to.

    Raises:
        TransientError: Kafka does not answer there.
        TerminalError: a topic is missing.
    """
    # Its own words on each lost connection and retry say less than what is reported here.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    try:
        with socket.create_connection(_host_port(address), timeout=_CONNECT_SECONDS):
            pass
        partitions = _partitions(address, streams)
        producer = KafkaProducer(
            bootstrap_servers=address,
            client_id="sluice-producer",
            acks="all",
            enable_idempotence=True,
            compression_type="lz4",
            batch_size=512 * 1024,
            linger_ms=100,
            delivery_timeout_ms=PATIENCE * 1_000,
            request_timeout_ms=30_000,
            reconnect_backoff_max_ms=1_000,
            bootstrap_timeout_ms=_BOOTSTRAP_SECONDS * 1_000,
            allow_auto_create_topics=False,
            metrics_enabled=False,
        )
    except (OSError, KafkaError) as error:
        raise TransientError(
            f"Kafka at {address} does not answer ({error or type(error).__name__})", "start it with `make up`"
        ) from None
    return Delivery(producer, partitions, address)


class Delivery:
    """Sends events through a producer. ``send`` and ``collect`` belong to one thread."""

    def __init__(self, producer: Producer, partitions: dict[str, int], address: str) -> None:
        """Takes over the producer.

        Args:
            producer: idempotent, and waiting for all replicas.
            partitions: how many each stream's topic has.
            address: Kafka's ``host:port``, for messages.
        """
        self.confirmed: Counter[tuple[str, str]] = Counter()
        """Confirmed records by stream and kind of disturbance (empty for none)."""
        self.refused: list[Exception] = []
        """Why, for each event that could not be delivered."""
        self._producer = producer
        self._partitions = partitions
        self._address = address
        self._pending: deque[_Pending] = deque()
        self._hash = lru_cache(maxsize=_KEYS)(murmur2)

    @property
    def total(self) -> int:
        """How many records are confirmed."""
        return self.confirmed.total()

    @property
    def unconfirmed(self) -> int:
        """How many records are sent and not confirmed, whether on their way or refused."""
        return len(self._pending) + len(self.refused)

    @property
    def full(self) -> bool:
        """Whether the sender must wait for confirmations before it sends more."""
        return len(self._pending) >= PENDING

    @property
    def oldest(self) -> int | None:
        """The earliest timestamp, in milliseconds, of the events that are not confirmed."""
        return min((pending.event.timestamp for pending in self._pending), default=None)

    def send(self, event: Event) -> None:
        """Hands an event over; ``collect`` learns what became of it.

        Raises:
            TransientError: kafka-python cannot take it now, as when its topic has vanished.
        """
        self._send(event, 1)

    def _send(self, event: Event, attempts: int) -> None:
        stream, key, value, timestamp, _, _ = event
        partition = (self._hash(key) & 0x7FFFFFFF) % self._partitions[stream]
        try:
            future = self._producer.send(stream, value, key, partition=partition, timestamp_ms=timestamp)
        except (KafkaError, ValueError) as error:
            raise TransientError(
                f"Kafka at {self._address} no longer takes events for {stream} ({error})", "see `make status`"
            ) from None
        self._pending.append(_Pending(future, event, attempts))

    def collect(self) -> None:
        """Takes in what the broker has answered so far, in the order of sending; does not wait."""
        pending = self._pending
        while pending and pending[0].future.is_done:
            future, event, attempts = pending.popleft()
            if future.exception is None:
                self.confirmed[event.stream, event.disturbance] += 1
            elif attempts < ATTEMPTS and not isinstance(future.exception, KafkaTimeoutError):
                self._send(event, attempts + 1)
            else:
                self.refused.append(future.exception)

    def finish(self, stop: Stop, tick: Callable[[], None]) -> None:
        """Waits until nothing is on its way; after a signal to stop only a while, after a second one not at all.

        Args:
            stop: the signals.
            tick: called as long as it waits, some times a second.
        """
        self.collect()
        while self._pending and not stop.insisted and stop.age < PARTING:
            tick()
            time.sleep(0.02)
            self.collect()

    def failure(self) -> TransientError:
        """The error for what could not be delivered: how many, and why."""
        reasons = Counter(type(error).__name__ for error in self.refused)
        why = ", ".join(f"{count:,} times {name}" for name, count in reasons.most_common()) or "no answer"
        return TransientError(
            f"{self.unconfirmed:,} events were not delivered to Kafka at {self._address} ({why})",
            "see `make status`, then send the range again: event ids stay the same",
        )

    def close(self) -> None:
        """Ends the connection; what is still on its way is given up."""
        if self._pending:
            # kafka-python's close() waits for them, and with a time-out raises before it has ended its thread.
            self._producer._sender.force_close()
        self._producer.close(timeout=_CLOSE_SECONDS)


def _host_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)


def _partitions(address: str, streams: tuple[str, ...]) -> dict[str, int]:
    admin = KafkaAdminClient(
        bootstrap_servers=address, bootstrap_timeout_ms=_BOOTSTRAP_SECONDS * 1_000, request_timeout_ms=10_000
    )
    try:
        there = set(admin.list_topics())
        missing = [stream for stream in streams if stream not in there]
        if missing:
            raise TerminalError(f"Kafka at {address} has no topic {', '.join(missing)}", "`make up` creates the topics")
        described = admin.describe_topics(list(streams))
    finally:
        admin.close()
    return {topic["name"]: len(topic["partitions"]) for topic in described}
