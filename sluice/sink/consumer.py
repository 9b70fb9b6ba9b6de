"""The sink's Kafka consumer: librdkafka, behind the few operations that the loop needs.

kafka-python's consumer takes several times the CPU per record (see docs/decisions); producers and admin use it.
"""

import gc
import logging
import time
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, cast

import confluent_kafka
import pyarrow as pa
from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, Message, TopicCollection
from confluent_kafka.admin import AdminClient, ConfigResource

from sluice.errors import TerminalError, TransientError
from sluice.kafka import topics
from sluice.kafka.connection import librdkafka_options
from sluice.kafka.consumer_config import consumer_config
from sluice.kafka.topic_settings import CLEANUP_POLICY
from sluice.lake.chunk import record_columns, record_digest
from sluice.settings import Settings
from sluice.sink.protocols import Records, TopicPartition
from sluice.sink.sink import Sink

log = logging.getLogger(__name__)

UNREADABLE_HEADERS = [("names are not UTF-8", None)]
"""What the lake keeps of a record's headers if one of their names is not UTF-8."""

_BATCH = 4_000
_TIMEOUT = 10.0
_MILLISECONDS = itemgetter(1)
_64_BITS = (1 << 64) - 1
_GONE = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION)
_DENIED = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED)
_OUT_OF_RANGE = (KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET)


class KafkaSource:
    """A ``Source`` that is a member of the consumer group over the streams' partitions."""

    def __init__(self, settings: Settings, topic_by_stream: Mapping[str, str], group: str) -> None:
        """Creates the consumer; it joins the group with ``subscribe``."""
        self._settings = settings
        self._topics = dict(topic_by_stream)
        self._streams = {topic: stream for stream, topic in self._topics.items()}
        self._group = group
        self._topic_ids: dict[str, str] = {}
        self._admin = AdminClient(librdkafka_options(settings) | {"client.id": group}, logger=log)
        self._consumer = Consumer(
            consumer_config(settings, group)
            | {
                # The lake determines where to read. An offset that Kafka does not have is an error, never skipped.
                "auto.offset.reset": "error",
                # The only way to learn of offsets without a record at a partition's end: transaction markers.
                "enable.partition.eof": True,
                # Per partition.
                "queued.max.messages.kbytes": 4 << 10,
            },
            logger=log,
        )

    def subscribe(self, sink: Sink) -> None:
        """Joins the group; the sink is notified of the partitions that it gains and loses."""

        def assigned(_: Consumer, parts: list[confluent_kafka.TopicPartition]) -> None:
            if not parts:
                return
            # Queried every time: a topic that was deleted and created again has a new id.
            self._topic_ids = topics.topic_ids(self._settings, self._topics)
            gained = [self._topic_partition(part.topic, part.partition) for part in parts]
            sink.assigned({part: self._topic_ids[part.stream] for part in gained})

        def revoked(_: Consumer, parts: list[confluent_kafka.TopicPartition]) -> None:
            sink.revoked(self._topic_partition(part.topic, part.partition) for part in parts)

        def lost(_: Consumer, parts: list[confluent_kafka.TopicPartition]) -> None:
            sink.lost(self._topic_partition(part.topic, part.partition) for part in parts)

        self._consumer.subscribe([*self._streams], on_assign=assigned, on_revoke=revoked, on_lost=lost)

    def check(self, topic_partition: TopicPartition, topic_id: str, next_offset: int, last_record: int) -> None:
        """Checks that Kafka continues at the lake's next offset, after the record that the lake has before it.

        Args:
            topic_partition: the partition.
            topic_id: the topic's id.
            next_offset: the lake's.
            last_record: the digest of the record before it; 0 if it is not known.

        Raises:
            TransientError: Kafka is down, or does not return that record in time.
            TerminalError: Kafka has deleted records that the lake does not have, or lacks records that the lake has.
        """
        try:
            start, end = self._consumer.get_watermark_offsets(self._at(topic_partition, next_offset), timeout=_TIMEOUT)
        except KafkaException as error:
            raise TransientError(f"Kafka: {error}", "wait for the sink to restart") from error
        if start > next_offset:
            raise _lost_offsets(topic_partition, next_offset, start)
        if end < next_offset:
            raise _restored(topic_partition, f"Kafka ends at {end}", next_offset)
        if last_record and start < next_offset:
            found = self._record(topic_partition, topic_id, next_offset - 1)
            if found is None and self._is_compacted(topic_partition.stream):
                # Kafka deleted the record since, and nothing tells its log from another one.
                log.warning(
                    "the topic is compacted, so its last record is not compared: stream=%s partition=%d offset=%d",
                    *(topic_partition.stream, topic_partition.partition, next_offset - 1),
                )
            elif found is None:
                raise _restored(topic_partition, f"Kafka has no record at {next_offset - 1}", next_offset)
            elif record_digest(found, next_offset) != last_record:
                raise _restored(topic_partition, f"Kafka has another record at {next_offset - 1}", next_offset)

    def assign(self, next_offsets: Mapping[TopicPartition, int | None]) -> None:
        """Takes over partitions and begins to read them at these offsets; one without an offset is not read."""
        self._consumer.incremental_assign(
            [
                # At the end nothing is out of range, however fast the partition is paused.
                self._at(topic_partition, OFFSET_END if next_offset is None else next_offset)
                for topic_partition, next_offset in next_offsets.items()
            ]
        )
        self.pause([topic_partition for topic_partition, next_offset in next_offsets.items() if next_offset is None])
        log.info(
            "assigned partitions=%s",
            ",".join(
                f"{p.stream}/{p.partition}@{'halted' if next_offset is None else next_offset}"
                for p, next_offset in next_offsets.items()
            ),
        )

    def poll(self, timeout: float) -> Sequence[Records]:
        """Returns the records that arrive within ``timeout`` seconds.

        Raises:
            TransientError: a topic was deleted, or Kafka no longer has an offset. The sink restarts and checks again.
        """
        # Thousands of objects are created, none of them in a reference cycle; collecting cycles would take a seventh of
        # the time.
        gc.disable()
        try:
            return self._read(timeout)
        finally:
            gc.enable()

    def seek(self, topic_partition: TopicPartition, offset: int) -> None:
        """Resumes reading a partition at that offset.

        Raises:
            TransientError: the partition is no longer assigned to this member, or Kafka is down.
        """
        try:
            self._consumer.seek(self._at(topic_partition, offset))
        except KafkaException as error:
            raise TransientError(f"Kafka: {error}", "wait for the sink to restart") from error

    def commit_offsets(self, next_offsets: dict[TopicPartition, int]) -> None:
        """Commits consumer offsets. They only serve lag displays, so a failure is harmless and only logged."""
        try:
            self._consumer.commit(
                offsets=[
                    self._at(topic_partition, next_offset) for topic_partition, next_offset in next_offsets.items()
                ],
                asynchronous=True,
            )
        except KafkaException as error:
            log.warning("consumer offsets not committed: error=%s", error)

    def pause(self, topic_partitions: Collection[TopicPartition]) -> None:
        """Stops reading partitions while keeping them."""
        self._consumer.pause([self._at(topic_partition, 0) for topic_partition in topic_partitions])

    def resume(self, topic_partitions: Collection[TopicPartition]) -> None:
        """Resumes reading paused partitions."""
        self._consumer.resume([self._at(topic_partition, 0) for topic_partition in topic_partitions])

    def high_watermarks(self, topic_partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Returns the partitions' ends as of librdkafka's last fetch; omits partitions it has not fetched from."""
        high_watermarks = {}
        for topic_partition in topic_partitions:
            watermarks = self._consumer.get_watermark_offsets(self._at(topic_partition, 0), cached=True)
            if watermarks is not None and watermarks[1] >= 0:
                high_watermarks[topic_partition] = watermarks[1]
        return high_watermarks

    def topic_id(self, stream: str) -> str | None:
        """Returns the current id of the stream's topic; None if the topic does not exist.

        Raises:
            TransientError: Kafka is down.
        """
        topic = self._topics[stream]
        futures = self._admin.describe_topics(TopicCollection([topic]), request_timeout=_TIMEOUT)
        try:
            topic_id = futures[topic].result().topic_id
        except KafkaException as error:
            kafka_error = error.args[0]
            if kafka_error.code() in _GONE:
                return None
            raise TransientError(f"Kafka: {kafka_error.str()}", "run `make status` and `make logs S=kafka`") from error
        high, low = (
            part & _64_BITS for part in (topic_id.get_most_significant_bits(), topic_id.get_least_significant_bits())
        )
        return str(uuid.UUID(int=high << 64 | low))

    def close(self) -> None:
        """Leaves the group."""
        self._consumer.close()

    def _read(self, timeout: float) -> list[Records]:
        messages = self._consumer.consume(_BATCH, timeout)
        errors = list(map(Message.error, messages))
        ends: dict[TopicPartition, int] = {}
        # Compared by type, because a KafkaError cannot be compared with None.
        if KafkaError in set(map(type, errors)):
            for message, error in zip(messages, errors, strict=True):
                if error is not None and error.code() == KafkaError._PARTITION_EOF:
                    ends[self._topic_partition(message.topic(), message.partition())] = cast(int, message.offset())
                elif error is not None:
                    self._handle_error(message, error)
            messages = [message for message, error in zip(messages, errors, strict=True) if error is None]
        grouped: dict[TopicPartition, list[Message]] = {}
        for topic, of_topic in groupby(messages, Message.topic):
            for partition, run in groupby(of_topic, Message.partition):
                grouped.setdefault(self._topic_partition(topic, partition), []).extend(run)
        return [
            self._records(topic_partition, grouped.get(topic_partition, []), ends.get(topic_partition, 0))
            for topic_partition in grouped | ends
        ]

    def _records(self, topic_partition: TopicPartition, messages: list[Message], end: int) -> Records:
        # Seven calls per record, for which map is cheaper than comprehensions.
        offsets = cast(list[int], list(map(Message.offset, messages)))
        rows = record_columns(
            self._topic_ids[topic_partition.stream],
            topic_partition.partition,
            offsets,
            list(map(_MILLISECONDS, map(Message.timestamp, messages))),
            list(map(Message.key, messages)),
            list(map(Message.value, messages)),
            _headers(messages),
        )
        return Records(topic_partition, rows, max(end, offsets[-1] + 1 if offsets else 0))

    def _record(self, topic_partition: TopicPartition, topic_id: str, offset: int) -> pa.Table | None:
        """Returns the record at an offset that Kafka's log covers, as a lake row; None if it has no record there.

        Raises:
            TransientError: Kafka is down, does not answer in time, or has just deleted the offset.
        """
        deadline = time.monotonic() + _TIMEOUT
        # The end of the partition tells an offset without a record from an answer that is late.
        options = {"auto.offset.reset": "error", "enable.partition.eof": True}
        consumer = Consumer(consumer_config(self._settings, self._group) | options, logger=log)
        try:
            consumer.assign([self._at(topic_partition, offset)])
            while (message := consumer.poll(max(deadline - time.monotonic(), 0))) is not None:
                error, reached = message.error(), cast(int, message.offset())
                if error is not None and error.code() != KafkaError._PARTITION_EOF:
                    self._handle_error(message, error)
                elif reached > offset:
                    # A transaction's marker, or a record of an aborted transaction.
                    return None
                elif error is None and reached == offset:
                    return _row(topic_id, message)
        except KafkaException as error:
            raise TransientError(f"Kafka: {error}", "wait for the sink to restart") from error
        finally:
            consumer.close()
        raise TransientError(
            f"Kafka: {topic_partition.stream}/{topic_partition.partition}: record {offset} did not arrive within "
            f"{_TIMEOUT:.0f} s, so that the lake's last record is not compared yet",
            "wait for the sink to restart",
        )

    def _is_compacted(self, stream: str) -> bool:
        """Returns whether Kafka may have deleted any record of the topic, also one after its start."""
        resource = ConfigResource(ConfigResource.Type.TOPIC, self._topics[stream])
        (future,) = self._admin.describe_configs([resource], request_timeout=_TIMEOUT).values()
        try:
            return "compact" in future.result()[CLEANUP_POLICY].value.split(",")
        except KafkaException as error:
            if error.args[0].code() in _DENIED:
                # The launch may ask, and refuses compacted topics.
                return False
            raise TransientError(f"Kafka: {error.args[0].str()}", "wait for the sink to restart") from error

    def _topic_partition(self, topic: str | None, partition: int | None) -> TopicPartition:
        return TopicPartition(self._streams[str(topic)], partition or 0)

    def _at(self, topic_partition: TopicPartition, offset: int) -> Any:
        topic = self._topics[topic_partition.stream]
        return confluent_kafka.TopicPartition(topic, topic_partition.partition, offset)

    def _handle_error(self, message: Message, error: KafkaError) -> None:
        if error.code() in _GONE:
            raise TransientError(
                f"Kafka: {error.str()}", "run `make up`, which creates the topics; then wait for the sink to restart"
            )
        if error.code() in _OUT_OF_RANGE:
            topic_partition = self._topic_partition(message.topic(), message.partition())
            raise TransientError(
                f"{topic_partition.stream}/{topic_partition.partition}: Kafka does not have offset {message.offset()}",
                "wait for the sink to restart, which checks every partition",
            )
        if error.fatal():
            raise TransientError(f"Kafka: {error.str()}", "wait for the sink to restart")
        log.warning("Kafka error: error=%s", error.str())


def _row(topic_id: str, message: Message) -> pa.Table:
    """Returns a record as a lake row, without its headers."""
    return record_columns(
        topic_id,
        cast(int, message.partition()),
        [cast(int, message.offset())],
        [message.timestamp()[1]],
        [message.key()],
        [message.value()],
        [None],
    )


def _headers(messages: list[Message]) -> list[Any]:
    """Returns the headers of each record.

    Kafka checks no name, and confluent-kafka fails for one that is not UTF-8. It is asked once per record, because a
    second call would return a broken list, which ends the process. Only a call through ``map`` is certain to raise.
    """
    headers: list[Any] = []
    remaining = iter(messages)
    while len(headers) < len(messages):
        try:
            headers.extend(map(Message.headers, remaining))
        except (UnicodeDecodeError, SystemError):
            message = messages[len(headers)]
            log.warning(
                "a header has a name that is not UTF-8: topic=%s partition=%s offset=%s",
                *(message.topic(), message.partition(), message.offset()),
            )
            headers.append(UNREADABLE_HEADERS)
    return headers


def _lost_offsets(topic_partition: TopicPartition, next_offset: int, start: int) -> TerminalError:
    return TerminalError(
        f"{topic_partition.stream}/{topic_partition.partition}: offsets {next_offset} to {start - 1} are lost: Kafka "
        "deleted them before they reached the lake",
        "raise topic.retention_bytes in the contract, then record the gap so that the sink can resume: `make lake "
        f'A="gap {topic_partition.stream} {topic_partition.partition} --to {start} --reason …"`',
    )


def _restored(topic_partition: TopicPartition, found: str, next_offset: int) -> TerminalError:
    return TerminalError(
        f"{topic_partition.stream}/{topic_partition.partition}: the lake has offsets up to {next_offset - 1}, but "
        f"{found}: it was restored from an older copy, and uses offsets again for other records",
        "restore a newer copy of Kafka; or delete the topic and run `make up`, which creates it with a new id, and "
        "send again what was sent since: see docs/how-to/troubleshooting.md",
    )
