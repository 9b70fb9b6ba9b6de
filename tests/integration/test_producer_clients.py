"""Both clients of the producers send the same records, in the same order, to the same partitions of a real Kafka."""

from collections.abc import Iterator
from datetime import date

import pytest
from confluent_kafka import Consumer, TopicPartition
from kafka import KafkaAdminClient
from kafka.admin import NewTopic

from infra.supervision.platform import Platform
from producers.connection import connect
from producers.events import Event
from producers.fault_injection import Faults, inject_faults
from producers.flights.timeline import Timeline
from producers.stop import Stop
from sluice.contracts import load_contracts
from sluice.kafka.connection import kafka_python_options, librdkafka_options
from sluice.kafka.topics import kafka_ranges
from sluice.settings import Settings
from tests.fixtures.servers import new_environment_file

PARTITIONS = 4
SPEEDS = {"fast": 0.0, "paced": 600.0}
"""The speed for which each topic's client is chosen."""
Record = tuple[int, bytes | None, bytes | None, int]


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A Kafka with a topic for each client."""
    file = new_environment_file(tmp_path_factory.mktemp("clients"))
    settings = Settings(_env_file=file)  # type: ignore[call-arg]
    platform = Platform(settings, file)
    try:
        platform.start(["kafka"])
        admin = KafkaAdminClient(**kafka_python_options(settings))
        admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in SPEEDS])
        admin.close()
        yield settings
    finally:
        platform.stop()


def test_both_clients_send_the_same_records_to_the_same_partitions(kafka: Settings) -> None:
    contracts = load_contracts(kafka.contracts)
    timeline = Timeline(contracts, date(2013, 1, 1), date(2013, 1, 3))
    faults = Faults(late=0.05, duplicates=0.05, corrupt=0.05, invalid=0.05, seed=7)
    events = [event for batch in inject_faults(timeline.batches(), faults, contracts) for event in batch]
    events.append(Event(events[0].stream, b"", b"", 1_000, 1_000))
    assert b"" in [event.value for event in events]
    for topic, speed in SPEEDS.items():
        _send(kafka, topic, speed, events)
    fast, paced = (_records(kafka, topic) for topic in SPEEDS)
    assert len(fast) == len(events)
    assert len({partition for partition, *_ in fast}) == PARTITIONS
    assert fast == paced


def test_every_event_without_a_key_arrives_from_either_client(kafka: Settings) -> None:
    for topic, speed in SPEEDS.items():
        before = len(_records(kafka, topic))
        _send(kafka, topic, speed, [Event("any", None, b"{}", 1_000, 1_000)] * 100)
        after = _records(kafka, topic)
        assert len(after) == before + 100
        assert sum(key is None for _, key, *_ in after) == 100


def _send(settings: Settings, topic: str, speed: float, events: list[Event]) -> None:
    delivery = connect(settings, {event.stream: topic for event in events}, speed)
    try:
        for event in events:
            delivery.send(event)
        with Stop() as stop:
            delivery.flush(stop, lambda: None)
    finally:
        delivery.close()
    assert (delivery.total, delivery.unconfirmed) == (len(events), 0)


def _records(settings: Settings, topic: str) -> list[Record]:
    """Returns the records of a topic: by partition, in the order of their offsets."""
    ranges = kafka_ranges(settings, {topic: topic})
    consumer = Consumer(librdkafka_options(settings) | {"group.id": "test", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, found.partition, found.start) for found in ranges])
    count = sum(found.end - found.start for found in ranges)
    messages = []
    while len(messages) < count:
        messages += consumer.consume(count - len(messages), 10)
    consumer.close()
    messages.sort(key=lambda message: (message.partition(), message.offset()))
    return [(message.partition(), message.key(), message.value(), message.timestamp()[1]) for message in messages]
