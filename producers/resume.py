"""Resuming a replay that was interrupted at any point: Kafka says which of its events it has, and the others are sent.

No file of the producer's could say so after a kill: it would be older or newer than what Kafka has accepted.
"""

from collections.abc import Iterable, Iterator, Mapping, Set
from hashlib import blake2b
from time import monotonic

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from producers.events import Event
from sluice.errors import TransientError
from sluice.kafka.connection import librdkafka_options
from sluice.kafka.topics import kafka_ranges
from sluice.settings import Settings

_GROUP = "sluice-producer-resume"
_BATCH = 10_000
# `consume` waits as long for a whole batch, and the last batch is never whole.
_WAIT_SECONDS = 0.2
_SILENCE_SECONDS = 30.0


def read_sent(settings: Settings, topics: Mapping[str, str]) -> set[bytes]:
    """Returns a digest of every record in topics, as ``digest`` computes it; a year's records take about 100 MB.

    Args:
        settings: with Kafka's address.
        topics: the name of each stream's topic.

    Raises:
        TransientError: Kafka is down, or became silent.
    """
    ranges = [found for found in kafka_ranges(settings, dict(topics)) if found.end > found.start]
    streams = {topic: stream for stream, topic in topics.items()}
    sent: set[bytes] = set()
    if not ranges:
        return sent
    options = librdkafka_options(settings) | {"group.id": _GROUP, "enable.auto.commit": False}
    consumer = Consumer(options | {"enable.partition.eof": True})
    try:
        consumer.assign([TopicPartition(found.topic, found.partition, found.start) for found in ranges])
        unread = {(found.topic, found.partition) for found in ranges}
        heard = monotonic()
        while unread:
            messages = consumer.consume(_BATCH, _WAIT_SECONDS)
            if messages:
                heard = monotonic()
            elif monotonic() - heard > _SILENCE_SECONDS:
                raise TransientError(f"Kafka at {settings.kafka} does not return its records", "see `make status`")
            for message in messages:
                error, topic = message.error(), str(message.topic())
                if error is None:
                    sent.add(digest(streams[topic], message.key(), message.value() or b""))
                elif error.code() == KafkaError._PARTITION_EOF:
                    unread.discard((topic, message.partition()))
                else:
                    raise KafkaException(error)
    except KafkaException as error:
        raise TransientError(f"Kafka at {settings.kafka} cannot be read: {error}", "see `make status`") from error
    finally:
        consumer.close()
    return sent


def unsent(batches: Iterable[list[Event]], sent: Set[bytes]) -> Iterator[list[Event]]:
    """Yields the batches without the events that were sent, in the same order."""
    for batch in batches:
        if rest := [event for event in batch if digest(event.stream, event.key, event.value) not in sent]:
            yield rest


def digest(stream: str, key: bytes | str | None, value: bytes | str) -> bytes:
    """Returns a digest that identifies an event: a replay of the same rows sends the same bytes."""
    parts = (stream, "" if key is None else key, value)
    return blake2b(
        b"\0".join(part.encode() if isinstance(part, str) else part for part in parts), digest_size=16
    ).digest()
