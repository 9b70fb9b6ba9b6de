import os
import signal
from collections.abc import Callable

import pytest
from kafka.errors import InvalidTimestampError, KafkaTimeoutError, OutOfOrderSequenceNumberError
from kafka.future import Future
from kafka.partitioner import murmur2

from producers.delivery import Topic
from producers.events import Event
from producers.kafka_python import MAX_ATTEMPTS, MAX_PENDING, KafkaPythonDelivery
from producers.stop import Stop

EVENT = Event("weather.observed", b"JFK", b"{}", 1_000, 1_000)


class FakeProducer:
    """Replaces KafkaProducer: a record is in flight until the test resolves its future."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes, bytes | None, int | None, int]] = []
        self.futures: list[Future] = []

    def send(self, topic: str, value: bytes, key: bytes | None, *, partition: int | None, timestamp_ms: int) -> Future:
        self.sent.append((topic, value, key, partition, timestamp_ms))
        self.futures.append(Future())
        return self.futures[-1]

    def close(self, timeout: float) -> None:
        pass


@pytest.fixture
def producer() -> FakeProducer:
    return FakeProducer()


@pytest.fixture
def delivery(producer: FakeProducer) -> KafkaPythonDelivery:
    return KafkaPythonDelivery(producer, {"weather.observed": Topic("NOAA", 2)}, "127.0.0.1:1")


def nothing() -> None:
    pass


def test_the_partition_is_that_of_kafka_s_default_partitioner(
    producer: FakeProducer, delivery: KafkaPythonDelivery
) -> None:
    delivery.send(EVENT)
    partition = (murmur2(b"JFK") & 0x7FFFFFFF) % 2
    assert producer.sent == [("NOAA", b"{}", b"JFK", partition, 1_000)]


def test_without_a_key_the_client_chooses_the_partition(producer: FakeProducer, delivery: KafkaPythonDelivery) -> None:
    delivery.send(EVENT._replace(key=None))
    assert producer.sent == [("NOAA", b"{}", None, None, 1_000)]


def test_only_confirmed_records_count(producer: FakeProducer, delivery: KafkaPythonDelivery) -> None:
    for fault in ("", "late", ""):
        delivery.send(EVENT._replace(fault=fault))
    delivery.poll()
    assert (delivery.total, delivery.unconfirmed) == (0, 3)
    for future in producer.futures[:2]:
        future.success(None)
    delivery.poll()
    assert delivery.confirmed == {("weather.observed", ""): 1, ("weather.observed", "late"): 1}
    assert delivery.unconfirmed == 1


def test_oldest_pending_is_the_earliest_event_in_flight(producer: FakeProducer, delivery: KafkaPythonDelivery) -> None:
    assert delivery.oldest_pending is None
    for timestamp in (1_000, 2_000):
        delivery.send(EVENT._replace(timestamp=timestamp))
    producer.futures[0].success(None)
    delivery.poll()
    assert delivery.oldest_pending == 2_000


def test_an_event_that_the_client_fails_is_resent(producer: FakeProducer, delivery: KafkaPythonDelivery) -> None:
    delivery.send(EVENT)
    producer.futures[0].failure(OutOfOrderSequenceNumberError())
    delivery.poll()
    assert len(producer.sent) == 2
    assert producer.sent[0] == producer.sent[1]
    producer.futures[1].success(None)
    delivery.poll()
    assert (delivery.total, delivery.unconfirmed) == (1, 0)


def test_the_delivery_error_counts_the_undelivered_events_and_their_causes(
    producer: FakeProducer, delivery: KafkaPythonDelivery
) -> None:
    delivery.send(EVENT)
    delivery.send(EVENT)
    producer.futures[0].failure(KafkaTimeoutError())
    while len(producer.futures) < MAX_ATTEMPTS + 1:
        producer.futures[-1].failure(OutOfOrderSequenceNumberError())
        delivery.poll()
    producer.futures[-1].failure(OutOfOrderSequenceNumberError())
    delivery.poll()
    assert delivery.unconfirmed == 2
    text = str(delivery.delivery_error())
    assert "2 events were not delivered" in text
    assert "1 KafkaTimeoutError" in text
    assert "1 OutOfOrderSequenceNumberError" in text


def test_events_of_the_future_are_refused_with_a_hint_and_not_sent_again(
    producer: FakeProducer, delivery: KafkaPythonDelivery
) -> None:
    delivery.send(EVENT)
    producer.futures[0].failure(InvalidTimestampError())
    delivery.poll()
    assert len(producer.futures) == 1
    assert "1 events were refused by Kafka at 127.0.0.1:1: their timestamp" in str(delivery.delivery_error())


def test_a_delivery_is_full_at_the_maximum_of_events_in_flight(
    producer: FakeProducer, delivery: KafkaPythonDelivery
) -> None:
    for _ in range(MAX_PENDING):
        delivery.send(EVENT)
    assert delivery.full
    producer.futures[0].success(None)
    delivery.poll()
    assert not delivery.full


def test_flush_waits_for_the_last_confirmation(producer: FakeProducer, delivery: KafkaPythonDelivery) -> None:
    delivery.send(EVENT)
    ticks: list[Callable[[], object]] = [nothing, lambda: producer.futures[0].success(None)]
    with Stop() as stop:
        delivery.flush(stop, lambda: ticks.pop(0)() and None)
    assert (delivery.total, ticks) == (1, [])


def test_a_second_signal_ends_the_flush(delivery: KafkaPythonDelivery) -> None:
    delivery.send(EVENT)
    with Stop() as stop:
        delivery.flush(stop, lambda: os.kill(os.getpid(), signal.SIGINT))
    assert delivery.unconfirmed == 1
