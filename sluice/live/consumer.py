"""A live view's Kafka consumer: a group of its own, which reads from the offsets stored in Postgres."""

import logging
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType

import confluent_kafka
from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, KafkaException, Message, TopicPartition

from sluice.errors import TransientError
from sluice.kafka import topics
from sluice.kafka.consumer_config import consumer_config
from sluice.live.store import PartitionKey
from sluice.live.view import Record
from sluice.settings import Settings

log = logging.getLogger(__name__)

_BATCH = 10_000
_TIMEOUT = 10.0


def resume_offset(stored: int, start: int, end: int) -> int:
    """Returns where to read a partition, given the stored next offset and the offsets that Kafka holds.

    Records that Kafka has deleted are lost to the live view. If Kafka ends before the stored offset, it was restored
    from an older copy and uses offsets again: everything is read again, which changes nothing for a record that was
    read before.
    """
    return stored if start <= stored <= end else start


class Consumer:
    """Reads records of some streams, in the order of offsets within a partition and without gaps."""

    def __init__(
        self,
        settings: Settings,
        topic_by_stream: Mapping[str, str],
        group: str,
        load_offsets: Callable[[Iterable[str]], Mapping[PartitionKey, int]],
        rewind: Callable[[list[PartitionKey]], None],
    ) -> None:
        """Joins the group.

        Args:
            settings: of the platform.
            topic_by_stream: the name of the topic of each stream to read.
            group: the consumer group.
            load_offsets: returns the next offset per partition of the given topic ids; 0 for a partition without one.
            rewind: forgets the next offsets of partitions that Kafka no longer continues there.
        """
        self._settings = settings
        self._topics = dict(topic_by_stream)
        self._streams = {topic: stream for stream, topic in self._topics.items()}
        self._load_offsets = load_offsets
        self._rewind = rewind
        self.topic_ids: dict[str, str] = {}
        """By stream, as of the last assignment."""
        self._taken_over: dict[PartitionKey, int] = {}
        self._consumer = confluent_kafka.Consumer(
            consumer_config(settings, group)
            | {
                # Postgres stores where to read. An offset that Kafka does not have is resolved on the next assignment.
                "auto.offset.reset": "error",
                "queued.max.messages.kbytes": 2 << 10,
            },
            logger=log,
        )
        if self._streams:
            self._consumer.subscribe([*self._streams], on_assign=self._assigned)

    def poll(self, timeout: float) -> list[Record]:
        """Returns the records that arrive within ``timeout`` seconds.

        Raises:
            TransientError: Kafka reports an error; a restart resolves it.
        """
        if self._taken_over:
            # The group may be new, or behind Postgres: an idle partition would show a lag that it does not have.
            self.commit_offsets(self._taken_over)
            self._taken_over = {}
        records = []
        for message in self._consumer.consume(_BATCH, timeout):
            if (error := message.error()) is not None:
                raise TransientError(f"Kafka: {error.str()}", "the live view restarts by itself")
            records.append(self._record(message))
        return records

    def commit_offsets(self, next_offsets: Mapping[PartitionKey, int]) -> None:
        """Commits consumer offsets, which only lag displays read: a failure is logged and costs nothing."""
        topics = {topic_id: self._topics[stream] for stream, topic_id in self.topic_ids.items()}
        offsets = [
            TopicPartition(topics[topic_id], partition, offset)
            for (topic_id, partition), offset in next_offsets.items()
        ]
        try:
            self._consumer.commit(offsets=offsets, asynchronous=True)
        except KafkaException as error:
            log.warning("consumer offsets not committed: %s", error)

    def __enter__(self) -> "Consumer":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._consumer.close()

    def _assigned(self, consumer: confluent_kafka.Consumer, partitions: list[TopicPartition]) -> None:
        if not partitions:
            return
        # Looked up on every assignment: a topic that was deleted and created again has a new id.
        self.topic_ids = topics.topic_ids(self._settings, self._topics)
        next_offsets = self._load_offsets(self.topic_ids.values())
        rewound = []
        for partition in partitions:
            key = self.topic_ids[self._streams[partition.topic]], partition.partition
            stored = next_offsets.get(key, 0)
            try:
                start, end = consumer.get_watermark_offsets(partition, timeout=_TIMEOUT)
            except KafkaException as error:
                raise TransientError(f"Kafka: {error}", "the live view restarts by itself") from error
            partition.offset = self._taken_over[key] = resume_offset(stored, start, end)
            if partition.offset < stored:
                log.warning("%s/%d ends at %d, not at %d: reading it again", partition.topic, key[1], end, stored)
                rewound.append(key)
        if rewound:
            self._rewind(rewound)
        consumer.incremental_assign(partitions)
        log.info("assigned %s", ", ".join(f"{part.topic}/{part.partition}@{part.offset}" for part in partitions))

    def _record(self, message: Message) -> Record:
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        assert topic is not None and partition is not None and offset is not None
        kind, milliseconds = message.timestamp()
        timestamp = None if kind == TIMESTAMP_NOT_AVAILABLE else milliseconds
        stream = self._streams[topic]
        return Record(stream, self.topic_ids[stream], partition, offset, timestamp, message.value())
