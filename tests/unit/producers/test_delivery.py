import os
import signal
import socket
from collections.abc import Callable

import pytest
from kafka.errors import KafkaTimeoutError, OutOfOrderSequenceNumberError
from kafka.future import Future
from kafka.partitioner import murmur2

from producers.delivery import ATTEMPTS, PENDING, Delivery, connect
from producers.events import Event
from producers.stop import Stop
from sluice.errors import TransientError

EVENT = Event("weather.observed", b"JFK", b"{}", 1_000, 1_000)


class Broker:
    """In KafkaProducer's place: keeps what is sent until the test answers it."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes, bytes, int, int]] = []
        self.futures: list[Future] = []

    def send(self, topic: str, value: bytes, key: bytes, *, partition: int, timestamp_ms: int) -> Future:
        self.sent.append((topic, value, key, partition, timestamp_ms))
        self.futures.append(Future())
        return self.futures[-1]

    def close(self, timeout: float) -> None:
        pass


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def delivery(broker: Broker) -> Delivery:
    return Delivery(broker, {"weather.observed": 2}, "127.0.0.1:1")


def nothing() -> None:
    pass


def test_a_record_goes_where_kafka_s_own_partitioner_would_send_it(broker: Broker, delivery: Delivery) -> None:
    delivery.send(EVENT)
    partition = (murmur2(b"JFK") & 0x7FFFFFFF) % 2
    assert broker.sent == [("weather.observed", b"{}", b"JFK", partition, 1_000)]


def test_only_what_the_broker_confirmed_counts(broker: Broker, delivery: Delivery) -> None:
    for kind in ("", "late", ""):
        delivery.send(EVENT._replace(disturbance=kind))
    delivery.collect()
    assert (delivery.total, delivery.unconfirmed) == (0, 3)
    for future in broker.futures[:2]:
        future.success(None)
    delivery.collect()
    assert delivery.confirmed == {("weather.observed", ""): 1, ("weather.observed", "late"): 1}
    assert delivery.unconfirmed == 1


def test_the_oldest_unconfirmed_event_is_known(broker: Broker, delivery: Delivery) -> None:
    assert delivery.oldest is None
    for timestamp in (1_000, 2_000):
        delivery.send(EVENT._replace(timestamp=timestamp))
    broker.futures[0].success(None)
    delivery.collect()
    assert delivery.oldest == 2_000


def test_an_event_that_the_client_gave_up_is_sent_again(broker: Broker, delivery: Delivery) -> None:
    delivery.send(EVENT)
    broker.futures[0].failure(OutOfOrderSequenceNumberError())
    delivery.collect()
    assert len(broker.sent) == 2
    assert broker.sent[0] == broker.sent[1]
    broker.futures[1].success(None)
    delivery.collect()
    assert (delivery.total, delivery.unconfirmed) == (1, 0)


def test_what_is_refused_for_good_is_an_error_that_says_how_many_and_why(broker: Broker, delivery: Delivery) -> None:
    delivery.send(EVENT)
    delivery.send(EVENT)
    broker.futures[0].failure(KafkaTimeoutError())
    while len(broker.futures) < ATTEMPTS + 1:
        broker.futures[-1].failure(OutOfOrderSequenceNumberError())
        delivery.collect()
    broker.futures[-1].failure(OutOfOrderSequenceNumberError())
    delivery.collect()
    assert delivery.unconfirmed == 2
    text = str(delivery.failure())
    assert "2 events were not delivered" in text
    assert "1 times KafkaTimeoutError" in text
    assert "1 times OutOfOrderSequenceNumberError" in text


def test_too_many_on_their_way_are_full(broker: Broker, delivery: Delivery) -> None:
    for _ in range(PENDING):
        delivery.send(EVENT)
    assert delivery.full
    broker.futures[0].success(None)
    delivery.collect()
    assert not delivery.full


def test_finishing_waits_for_the_last_answer(broker: Broker, delivery: Delivery) -> None:
    delivery.send(EVENT)
    answers: list[Callable[[], object]] = [nothing, lambda: broker.futures[0].success(None)]
    with Stop() as stop:
        delivery.finish(stop, lambda: answers.pop(0)() and None)
    assert (delivery.total, answers) == (1, [])


def test_a_second_signal_ends_the_wait_for_answers(delivery: Delivery) -> None:
    delivery.send(EVENT)
    with Stop() as stop:
        delivery.finish(stop, lambda: os.kill(os.getpid(), signal.SIGINT))
    assert delivery.unconfirmed == 1


def test_no_kafka_is_one_line_with_its_address_and_the_mend() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(TransientError, match=f"{address} does not answer.*make up"):
            connect(address, ("weather.observed",))
