"""Delivery with librdkafka, in C: as fast as possible (docs/decisions/0001-librdkafka-in-the-sink.md)."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from kafka.errors import KafkaError as DeliveryError
from kafka.errors import KafkaTimeoutError, for_code

from producers.delivery import DELIVERY_TIMEOUT, Delivery, Topic
from producers.events import Event
from sluice.kafka.connection import librdkafka_options
from sluice.settings import Settings

MAX_PENDING = 50_000
"""Maximum number of events in flight."""

_silent = logging.getLogger(f"{__name__}.silent")
"""librdkafka logs every lost connection and retry; the errors of events are more useful."""
_silent.addHandler(logging.NullHandler())
_silent.propagate = False

_Confirm = Callable[[KafkaError | None, Message], None]


def new_producer(settings: Settings) -> Producer:
    """Returns an idempotent producer. Unlike kafka-python's it also resends by itself what a new epoch has failed."""
    return Producer(
        {
            **librdkafka_options(settings),
            "client.id": "sluice-producer",
            "enable.idempotence": True,
            # Kafka's default partitioner, as in kafka-python; without a key, any partition.
            "partitioner": "murmur2_random",
            "compression.type": "lz4",
            "linger.ms": 20,
            "delivery.timeout.ms": int(DELIVERY_TIMEOUT * 1_000),
            "reconnect.backoff.max.ms": 1_000,
            "allow.auto.create.topics": False,
            # Only MAX_PENDING bounds the buffer: `send` must not fail because events are large.
            "queue.buffering.max.kbytes": 2_147_483_647,
        },
        logger=_silent,
    )


class LibrdkafkaDelivery(Delivery):
    """Sends events through librdkafka."""

    def __init__(self, producer: Producer, topics: Mapping[str, Topic], address: str) -> None:
        """Takes ownership of the producer.

        Args:
            producer: idempotent.
            topics: the topic of each stream.
            address: Kafka's, for messages.
        """
        super().__init__(address)
        self._producer: Any = producer
        self._topics = {stream: topic.name for stream, topic in topics.items()}
        self._callbacks: dict[tuple[str, str], _Confirm] = {}
        self._sent = 0
        self._closed = False

    @property
    def in_flight(self) -> int:
        return self._sent - self.total - len(self.failures)

    @property
    def full(self) -> bool:
        return self.in_flight >= MAX_PENDING

    def send(self, event: Event) -> None:
        stream, key, value, timestamp, _, fault = event
        topic = self._topics[stream]
        confirm = self._callbacks.get((stream, fault)) or self._new_callback(stream, fault)
        try:
            self._producer.produce(topic, value, key, on_delivery=confirm, timestamp=timestamp)
        except (KafkaException, BufferError) as error:
            raise self.not_accepted(topic, error) from None
        self._sent += 1

    def poll(self) -> None:
        self._producer.poll(0)

    def close(self) -> None:
        self._closed = True
        if self.in_flight:
            # Closing would wait for them.
            self._producer.purge()
        self._producer.close()

    def _new_callback(self, stream: str, fault: str) -> _Confirm:
        """Returns what ``poll`` calls for each event of a kind: one function for all, because events are many."""
        confirmed, kind = self.confirmed, (stream, fault)

        def confirm(error: KafkaError | None, _: Message) -> None:
            if self._closed:
                return
            if error is None:
                confirmed[kind] += 1
            else:
                self.failures.append(_failure(error))

        self._callbacks[kind] = confirm
        return confirm


def _failure(error: KafkaError) -> Exception:
    """Returns an error of librdkafka as kafka-python names it."""
    code = error.code()
    kind = for_code(code) if code > 0 else KafkaTimeoutError if code == KafkaError._MSG_TIMED_OUT else DeliveryError
    failure: Exception = kind(error.str())
    return failure
