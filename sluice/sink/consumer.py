"""The sink's Kafka consumer: librdkafka, behind the few verbs that the loop needs.

kafka-python's consumer costs several times the CPU per record (see docs/decisions); producer and admin use it.
"""

import gc
import logging
import uuid
from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient

from sluice import topics
from sluice.errors import TerminalError, TransientError
from sluice.lake.chunk import record_columns
from sluice.members import member
from sluice.settings import Settings
from sluice.sink.sink import Place, Records, Sink

log = logging.getLogger(__name__)

GROUP = "sluice-sink"
_BATCH = 4_000
_TIMEOUT = 10.0
_MILLISECONDS = itemgetter(1)
_64_BITS = (1 << 64) - 1
_GONE = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION)
_OUT_OF_RANGE = (KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET)


class KafkaSource:
    """The members of ``Source`` over a consumer group that shares out the streams' partitions."""

    def __init__(self, settings: Settings, streams: list[str]) -> None:
        self._settings = settings
        self._streams = streams
        self._topic_ids: dict[str, str] = {}
        self._admin = AdminClient({"bootstrap.servers": settings.kafka, "client.id": GROUP}, logger=log)
        self._consumer = Consumer(
            member(settings, GROUP)
            | {
                # The lake says where to read. An offset that Kafka does not have is a fault, never skipped.
                "auto.offset.reset": "error",
                # The only word of offsets that hold no record at a partition's end: the marks of transactions.
                "enable.partition.eof": True,
                # Per partition.
                "queued.max.messages.kbytes": 4 << 10,
            },
            logger=log,
        )

    def subscribe(self, sink: Sink) -> None:
        """Joins the group; the sink is told of the partitions that it gets and loses."""

        def assigned(consumer: Consumer, parts: list[TopicPartition]) -> None:
            if not parts:
                return
            # Asked each time: a topic that was deleted and created again has another id.
            self._topic_ids = topics.topic_ids(self._settings, self._streams)
            heads = sink.assigned({Place(part.topic, part.partition): self._topic_ids[part.topic] for part in parts})
            for place, head in heads.items():
                self._check_start(place, head)
            consumer.incremental_assign([_at(place, head) for place, head in heads.items()])
            log.info("assigned %s", ", ".join(f"{p.stream}/{p.partition}@{head}" for p, head in heads.items()))

        def revoked(_: Consumer, parts: list[TopicPartition]) -> None:
            sink.revoked(Place(part.topic, part.partition) for part in parts)

        def lost(_: Consumer, parts: list[TopicPartition]) -> None:
            sink.lost(Place(part.topic, part.partition) for part in parts)

        self._consumer.subscribe(self._streams, on_assign=assigned, on_revoke=revoked, on_lost=lost)

    def poll(self, timeout: float) -> Sequence[Records]:
        """Waits at most ``timeout`` seconds.

        Raises:
            TransientError: a topic was deleted, or the lake's head is past the topic's end: starting anew settles it.
            TerminalError: Kafka has deleted records that the lake does not have.
        """
        # Thousands of objects at once, none of them in a cycle: to look for cycles there is a seventh of the cost.
        gc.disable()
        try:
            return self._read(timeout)
        finally:
            gc.enable()

    def seek(self, place: Place, offset: int) -> None:
        """Goes on reading a partition at that offset.

        Raises:
            TransientError: the partition is not this member's any more, or Kafka does not answer.
        """
        try:
            self._consumer.seek(_at(place, offset))
        except KafkaException as error:
            raise TransientError(f"Kafka: {error}", "the sink starts anew") from error

    def mark(self, heads: dict[Place, int]) -> None:
        """Commits consumer offsets, for lag displays alone: a failure costs nothing and is only logged."""
        try:
            self._consumer.commit(offsets=[_at(place, head) for place, head in heads.items()], asynchronous=True)
        except KafkaException as error:
            log.warning("consumer offsets not committed: %s", error)

    def hold(self, held: bool) -> None:
        """Pauses or resumes all partitions, while staying in the group."""
        parts = self._consumer.assignment()
        if held:
            log.warning("reading is held: the buffers are full")
            self._consumer.pause(parts)
        else:
            self._consumer.resume(parts)

    def ends(self, places: Iterable[Place]) -> dict[Place, int]:
        """What librdkafka has learned of the ends while fetching; nothing for a partition it has not fetched from."""
        found = {}
        for place in places:
            known = self._consumer.get_watermark_offsets(_at(place, 0), cached=True)
            if known is not None and known[1] >= 0:
                found[place] = known[1]
        return found

    def topic_id(self, stream: str) -> str | None:
        """The id that the stream's topic has now; None where there is no such topic.

        Raises:
            TransientError: Kafka does not answer.
        """
        asked = self._admin.describe_topics(TopicCollection([stream]), request_timeout=_TIMEOUT)
        try:
            found = asked[stream].result().topic_id
        except KafkaException as error:
            fault = error.args[0]
            if fault.code() in _GONE:
                return None
            raise TransientError(f"Kafka: {fault.str()}", "it is asked again") from error
        high, low = (
            part & _64_BITS for part in (found.get_most_significant_bits(), found.get_least_significant_bits())
        )
        return str(uuid.UUID(int=high << 64 | low))

    def close(self) -> None:
        """Leaves the group."""
        self._consumer.close()

    def _read(self, timeout: float) -> list[Records]:
        messages = self._consumer.consume(_BATCH, timeout)
        errors = list(map(Message.error, messages))
        ends: dict[Place, int] = {}
        # By type: a KafkaError cannot be compared with None.
        if KafkaError in set(map(type, errors)):
            for message, error in zip(messages, errors, strict=True):
                if error is not None and error.code() == KafkaError._PARTITION_EOF:
                    ends[_place(message.topic(), message.partition())] = cast(int, message.offset())
                elif error is not None:
                    self._fault(message, error)
            messages = [message for message, error in zip(messages, errors, strict=True) if error is None]
        grouped: dict[Place, list[Message]] = {}
        for topic, of_topic in groupby(messages, Message.topic):
            for partition, run in groupby(of_topic, Message.partition):
                grouped.setdefault(_place(topic, partition), []).extend(run)
        return [self._records(place, grouped.get(place, []), ends.get(place, 0)) for place in grouped | ends]

    def _records(self, place: Place, messages: list[Message], end: int) -> Records:
        # Seven calls a record: through map they cost less than in comprehensions.
        offsets = cast(list[int], list(map(Message.offset, messages)))
        rows = record_columns(
            self._topic_ids[place.stream],
            place.partition,
            offsets,
            list(map(_MILLISECONDS, map(Message.timestamp, messages))),
            list(map(Message.key, messages)),
            list(map(Message.value, messages)),
            list(map(Message.headers, messages)),
        )
        return Records(place, rows, max(end, offsets[-1] + 1 if offsets else 0))

    def _check_start(self, place: Place, head: int) -> None:
        try:
            start, _ = self._consumer.get_watermark_offsets(_at(place, head), timeout=_TIMEOUT)
        except KafkaException as error:
            raise TransientError(f"Kafka: {error}", "the sink starts anew") from error
        if start > head:
            raise _loss(place, head, start)

    def _fault(self, message: Message, error: KafkaError) -> None:
        if error.code() in _GONE:
            raise TransientError(f"Kafka: {error.str()}", "the sink starts anew; `make up` creates the topics")
        if error.code() in _OUT_OF_RANGE:
            place = Place(message.topic() or "", message.partition() or 0)
            raise TransientError(
                f"{place.stream}/{place.partition}: Kafka does not have offset {message.offset()}",
                "the sink starts anew, and reads what the topic is now",
            )
        if error.fatal():
            raise TransientError(f"Kafka: {error.str()}", "the sink starts anew")
        log.warning("Kafka: %s", error.str())


def _place(topic: str | None, partition: int | None) -> Place:
    return Place(str(topic), partition or 0)


def _at(place: Place, offset: int) -> Any:
    return TopicPartition(place.stream, place.partition, offset)


def _loss(place: Place, head: int, start: int) -> TerminalError:
    return TerminalError(
        f"{place.stream}/{place.partition}: offsets {head} to {start - 1} are lost: Kafka deleted them before they "
        "were in the lake",
        "raise topic.retention_bytes in the contract, and record the gap before the sink goes on: `sluice lake gap "
        f"{place.stream} {place.partition} --to {start} --reason …`",
    )
