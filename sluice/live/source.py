"""The live view's Kafka consumer: a group of its own, read from where Postgres says."""

import logging
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Consumer, KafkaException, Message, TopicPartition

from sluice import topics
from sluice.errors import TransientError
from sluice.live.outcome import Record
from sluice.live.store import Head
from sluice.members import member
from sluice.settings import Settings

log = logging.getLogger(__name__)

GROUP = "sluice-live"
_BATCH = 2_000


class Source:
    """Records of some streams, in the order of offsets within a partition, without gaps from ``heads`` on."""

    def __init__(
        self, settings: Settings, streams: Iterable[str], heads: Callable[[Iterable[str]], Mapping[Head, int]]
    ) -> None:
        self._settings = settings
        self._streams = list(streams)
        self._heads = heads
        self.topic_ids: dict[str, str] = {}
        """Of the streams, as of the last assignment."""
        self._consumer = Consumer(
            member(settings, GROUP)
            | {
                # Postgres says where to read. What Kafka no longer has cannot be shown, and to read again does no harm.
                "auto.offset.reset": "earliest",
                "queued.max.messages.kbytes": 2 << 10,
            },
            logger=log,
        )
        self._consumer.subscribe(self._streams, on_assign=self._assigned)

    def poll(self, timeout: float) -> list[Record]:
        """Waits at most ``timeout`` seconds.

        Raises:
            TransientError: Kafka says that it cannot go on like this; starting anew settles it.
        """
        found = []
        for message in self._consumer.consume(_BATCH, timeout):
            if (error := message.error()) is not None:
                raise TransientError(f"Kafka: {error.str()}", "the live view starts anew")
            found.append(self._record(message))
        return found

    def mark(self, heads: Mapping[Head, int]) -> None:
        """Commits consumer offsets, for lag displays alone: a failure costs nothing and is only logged."""
        streams = {topic_id: stream for stream, topic_id in self.topic_ids.items()}
        offsets = [TopicPartition(streams[topic_id], partition, head) for (topic_id, partition), head in heads.items()]
        try:
            self._consumer.commit(offsets=offsets, asynchronous=True)
        except KafkaException as error:
            log.warning("consumer offsets not committed: %s", error)

    def __enter__(self) -> "Source":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._consumer.close()

    def _assigned(self, consumer: Consumer, parts: list[TopicPartition]) -> None:
        if not parts:
            return
        # Asked each time: a topic that was deleted and created again has another id.
        self.topic_ids = topics.topic_ids(self._settings, self._streams)
        heads = self._heads(self.topic_ids.values())
        for part in parts:
            part.offset = heads.get((self.topic_ids[part.topic], part.partition), 0)
        consumer.incremental_assign(parts)
        log.info("assigned %s", ", ".join(f"{part.topic}/{part.partition}@{part.offset}" for part in parts))

    def _record(self, message: Message) -> Record:
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        assert topic is not None and partition is not None and offset is not None
        kind, milliseconds = message.timestamp()
        timestamp = None if kind == TIMESTAMP_NOT_AVAILABLE else milliseconds
        return Record(topic, self.topic_ids[topic], partition, offset, timestamp, message.value())
