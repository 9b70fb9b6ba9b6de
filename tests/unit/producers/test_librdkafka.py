from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from producers.delivery import Topic
from producers.events import Event
from producers.librdkafka import MAX_PENDING, LibrdkafkaDelivery
from producers.stop import Stop
from sluice.errors import TransientError

EVENT = Event("weather.observed", b"JFK", b"{}", 1_000, 1_000)


class FakeProducer:
    """Replaces librdkafka's producer: `poll` calls back what the test resolves."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes, bytes | None, int]] = []
        self.results: list[KafkaError | None] = []
        self.refusal: Exception | None = None
        self.calls: list[str] = []
        self._callbacks: list[Callable[[Any, Any], None]] = []

    def produce(
        self, topic: str, value: bytes, key: bytes | None, *, on_delivery: Callable[[Any, Any], None], timestamp: int
    ) -> None:
        if self.refusal:
            raise self.refusal
        self.sent.append((topic, value, key, timestamp))
        self._callbacks.append(on_delivery)

    def poll(self, _: float) -> None:
        while self.results:
            self._callbacks.pop(0)(self.results.pop(0), None)

    def purge(self) -> None:
        self.calls.append("purge")
        self.results = [KafkaError(KafkaError._PURGE_QUEUE)] * len(self._callbacks)

    def close(self) -> None:
        self.calls.append("close")
        self.poll(0)


@pytest.fixture
def producer() -> FakeProducer:
    return FakeProducer()


@pytest.fixture
def delivery(producer: FakeProducer) -> LibrdkafkaDelivery:
    return LibrdkafkaDelivery(producer, {"weather.observed": Topic("NOAA", 2)}, "127.0.0.1:1")


def test_only_confirmed_records_count_by_stream_and_fault(producer: FakeProducer, delivery: LibrdkafkaDelivery) -> None:
    for fault in ("", "late", ""):
        delivery.send(EVENT._replace(fault=fault))
    delivery.poll()
    assert (delivery.total, delivery.unconfirmed) == (0, 3)
    producer.results = [None, None]
    delivery.poll()
    assert delivery.confirmed == {("weather.observed", ""): 1, ("weather.observed", "late"): 1}
    assert delivery.unconfirmed == 1
    assert producer.sent == [("NOAA", b"{}", b"JFK", 1_000)] * 3


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (KafkaError._MSG_TIMED_OUT, "1 events were not delivered to Kafka at 127.0.0.1:1: 1 KafkaTimeoutError"),
        (KafkaError.NOT_LEADER_FOR_PARTITION, "1 NotLeaderForPartitionError"),
        (KafkaError.INVALID_TIMESTAMP, "1 events were refused by Kafka at 127.0.0.1:1: their timestamps"),
    ],
)
def test_an_event_that_fails_is_reported_with_its_cause(
    producer: FakeProducer, delivery: LibrdkafkaDelivery, code: int, text: str
) -> None:
    delivery.send(EVENT)
    producer.results = [KafkaError(code)]
    delivery.poll()
    assert (delivery.total, delivery.unconfirmed, delivery.in_flight) == (0, 1, 0)
    assert text in str(delivery.delivery_error())


@pytest.mark.parametrize("refusal", [KafkaException(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)), BufferError("full")])
def test_an_event_that_the_client_does_not_accept_is_an_error(
    producer: FakeProducer, delivery: LibrdkafkaDelivery, refusal: Exception
) -> None:
    producer.refusal = refusal
    with pytest.raises(TransientError, match=r"Kafka at 127\.0\.0\.1:1 no longer accepts events for NOAA"):
        delivery.send(EVENT)
    assert delivery.unconfirmed == 0


def test_a_delivery_is_full_at_the_maximum_of_events_in_flight(
    producer: FakeProducer, delivery: LibrdkafkaDelivery
) -> None:
    for _ in range(MAX_PENDING):
        delivery.send(EVENT)
    assert delivery.full
    producer.results = [None]
    delivery.poll()
    assert not delivery.full


def test_events_in_flight_are_abandoned_when_the_delivery_is_closed(
    producer: FakeProducer, delivery: LibrdkafkaDelivery
) -> None:
    delivery.send(EVENT)
    delivery.close()
    assert producer.calls == ["purge", "close"]
    # They are unconfirmed, but no failure: nobody waited for them.
    assert (delivery.unconfirmed, delivery.failures) == (1, [])


def test_a_delivery_without_events_in_flight_closes_without_abandoning_any(
    producer: FakeProducer, delivery: LibrdkafkaDelivery
) -> None:
    delivery.send(EVENT)
    producer.results = [None]
    with Stop() as stop:
        delivery.flush(stop, lambda: None)
    delivery.close()
    assert (producer.calls, delivery.total) == (["close"], 1)
