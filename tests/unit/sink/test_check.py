"""Before it reads on, the sink compares the lake's last record with Kafka's: a log that has none is another one."""

from collections.abc import Sequence
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from sluice.errors import TerminalError, TransientError
from sluice.lake.chunk import record_columns, record_digest
from sluice.settings import Settings
from sluice.sink import consumer
from sluice.sink.consumer import KafkaSource
from sluice.sink.protocols import TopicPartition

PARTITION = TopicPartition("a.b", 0)
NEXT = 10
"""The lake's next offset: its last record is at offset 9."""
ROW = record_columns("id", 0, [NEXT - 1], [0], [b"k"], [b"v"], [None])
DIGEST = record_digest(ROW, NEXT)


class FakeMessage:
    """A record at an offset, or an error there."""

    def __init__(self, offset: int, value: bytes = b"v", error: KafkaError | None = None) -> None:
        self._offset, self._value, self._error = offset, value, error

    def error(self) -> KafkaError | None:
        return self._error

    def offset(self) -> int:
        return self._offset

    def topic(self) -> str:
        return "a.b"

    def partition(self) -> int:
        return 0

    def timestamp(self) -> tuple[int, int]:
        return 1, 0

    def key(self) -> bytes:
        return b"k"

    def value(self) -> bytes:
        return self._value


def end(offset: int) -> FakeMessage:
    """Returns the event that the committed records end at an offset, as read so far."""
    return FakeMessage(offset, error=KafkaError(KafkaError._PARTITION_EOF))


def failure(code: int) -> FakeMessage:
    return FakeMessage(NEXT - 1, error=KafkaError(code))


class FakeKafka:
    """A partition that Kafka says is from ``start`` to ``end``, and what it returns to a reader of offset 9."""

    def __init__(self) -> None:
        self.start, self.end = 0, 20
        self.answers: Sequence[FakeMessage] = []
        self.policy: str | KafkaError = "delete"
        self.readers = 0

    def consumer(self, options: dict[str, Any], **_: object) -> "FakeConsumer":
        return FakeConsumer(self, options)

    def describe_configs(self, resources: Sequence[Any], request_timeout: float) -> dict[Any, "Future[Any]"]:
        described: Future[Any] = Future()
        if isinstance(self.policy, KafkaError):
            described.set_exception(KafkaException(self.policy))
        else:
            described.set_result({"cleanup.policy": SimpleNamespace(value=self.policy)})
        return {resources[0]: described}


class FakeConsumer:
    def __init__(self, kafka: FakeKafka, options: dict[str, Any]) -> None:
        assert options["isolation.level"] == "read_committed"
        assert options["auto.offset.reset"] == "error"
        self._kafka = kafka
        self._reports_end = bool(options.get("enable.partition.eof"))

    def get_watermark_offsets(self, _: object, timeout: float) -> tuple[int, int]:
        return self._kafka.start, self._kafka.end

    def assign(self, partitions: Sequence[Any]) -> None:
        assert [partition.offset for partition in partitions] == [NEXT - 1]
        self._kafka.readers += 1
        answers = self._kafka.answers
        self._answers = [
            message
            for message in answers
            if self._reports_end or message.error() is None or message.error().code() != KafkaError._PARTITION_EOF
        ]

    def poll(self, timeout: float) -> FakeMessage | None:
        """Returns the next answer; None at once instead of after the time-out."""
        return self._answers.pop(0) if self._answers else None

    def close(self) -> None:
        self._kafka.readers -= 1


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch) -> FakeKafka:
    kafka = FakeKafka()
    monkeypatch.setattr(consumer, "Consumer", kafka.consumer)
    monkeypatch.setattr(consumer, "AdminClient", lambda *_, **__: kafka)
    return kafka


def check(last_record: int = DIGEST) -> None:
    KafkaSource(Settings(), {"a.b": "a.b"}, "group").check(PARTITION, "id", NEXT, last_record)


@pytest.mark.parametrize(
    "answers",
    [
        [FakeMessage(NEXT - 1)],
        # An answer to an earlier fetch, a broker that is down for a moment, and then the record.
        [FakeMessage(NEXT - 2), failure(KafkaError._TRANSPORT), FakeMessage(NEXT - 1)],
        # After a change of leader, its committed end can be late for a moment.
        [end(NEXT - 1), FakeMessage(NEXT - 1), FakeMessage(NEXT)],
    ],
)
def test_a_partition_that_has_the_lakes_last_record_continues(kafka: FakeKafka, answers: Sequence[FakeMessage]) -> None:
    kafka.answers = answers
    check()
    assert kafka.readers == 0


@pytest.mark.parametrize(
    ("answers", "found"),
    [
        ([FakeMessage(NEXT - 1, b"another")], "another record at 9"),
        # A transaction's marker, or records of an aborted transaction, before other records or before the end.
        ([FakeMessage(NEXT)], "no record at 9"),
        ([FakeMessage(NEXT + 7)], "no record at 9"),
        ([end(NEXT)], "no record at 9"),
        ([failure(KafkaError._TRANSPORT), end(NEXT + 10)], "no record at 9"),
    ],
)
@pytest.mark.parametrize("policy", ["delete", KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)])
def test_a_partition_without_the_lakes_last_record_was_restored_from_an_older_copy(
    kafka: FakeKafka, answers: Sequence[FakeMessage], found: str, policy: str | KafkaError
) -> None:
    kafka.answers, kafka.policy = answers, policy
    with pytest.raises(TerminalError, match=rf"a.b/0: the lake has offsets up to 9, but Kafka has {found}: it was"):
        check()
    assert kafka.readers == 0


@pytest.mark.parametrize(
    "answers",
    [
        [],
        [failure(KafkaError._TRANSPORT)],
        [end(NEXT - 1)],
        [failure(KafkaError._AUTO_OFFSET_RESET)],
        [failure(KafkaError.UNKNOWN_TOPIC_OR_PART)],
    ],
)
def test_a_partition_is_not_read_before_kafka_has_answered(kafka: FakeKafka, answers: Sequence[FakeMessage]) -> None:
    """The broker is slow or down, or retention has deleted the record since: the sink restarts and checks again."""
    kafka.answers = answers
    with pytest.raises(TransientError, match="Kafka"):
        check()
    assert kafka.readers == 0


def test_a_compacted_topic_may_lack_the_lakes_last_record(kafka: FakeKafka) -> None:
    kafka.answers = [FakeMessage(NEXT)]
    for kafka.policy in ("compact", "compact,delete"):
        check()
    kafka.policy = KafkaError(KafkaError._TIMED_OUT)
    with pytest.raises(TransientError):
        check()


def test_nothing_is_compared_that_kafka_or_the_lake_does_not_have(kafka: FakeKafka) -> None:
    # The lake's last offset has no record, or its digest is not known.
    check(last_record=0)
    # Retention deleted the record, and the lake has all that follows.
    kafka.start = NEXT
    check()
    kafka.start = NEXT + 1
    with pytest.raises(TerminalError, match="offsets 10 to 10 are lost"):
        check()
    kafka.start, kafka.end = 0, NEXT - 1
    with pytest.raises(TerminalError, match="Kafka ends at 9"):
        check()
