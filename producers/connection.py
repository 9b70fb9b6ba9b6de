"""Connections to Kafka: kafka-python at a pace, librdkafka as fast as possible."""

import logging
import socket
from collections.abc import Mapping

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from producers import kafka_python, librdkafka
from producers.delivery import Delivery, Topic
from producers.kafka_python import BOOTSTRAP_SECONDS, KafkaPythonDelivery
from producers.librdkafka import LibrdkafkaDelivery
from sluice.errors import SluiceError, TerminalError, TransientError
from sluice.kafka.connection import kafka_python_options
from sluice.settings import Settings

_CONNECT_SECONDS = 3.0


def connect(settings: Settings, topics: Mapping[str, str], speed: float) -> Delivery:
    """Connects to Kafka with the client for a speed, and checks that every stream has a topic.

    Args:
        settings: with Kafka's address.
        topics: the name of the topic of each stream to be sent.
        speed: seconds of event time per second; 0 for as fast as possible.

    Raises:
        TransientError: Kafka is down.
        TerminalError: a topic is missing, or Kafka rejects the credentials.
    """
    if speed:
        return connect_kafka_python(settings, topics)
    found = _find_topics(settings, topics)
    return LibrdkafkaDelivery(librdkafka.new_producer(settings), found, settings.kafka)


def connect_kafka_python(settings: Settings, topics: Mapping[str, str]) -> KafkaPythonDelivery:
    """Connects to Kafka with kafka-python; the rest is as in ``connect``."""
    found = _find_topics(settings, topics)
    try:
        producer = kafka_python.new_producer(settings)
    except (OSError, KafkaError) as error:
        raise _down(settings, error) from None
    return KafkaPythonDelivery(producer, found, settings.kafka)


def _down(settings: Settings, error: Exception) -> SluiceError:
    if settings.kafka_bootstrap:
        from sluice.kafka.diagnosis import connection_fault

        if fault := connection_fault(settings):
            return fault
    return TransientError(
        f"Kafka at {settings.kafka} is down: {str(error) or type(error).__name__}", "start it with `make up`"
    )


def _find_topics(settings: Settings, topics: Mapping[str, str]) -> dict[str, Topic]:
    """Returns the topic of each stream; the first connection, whatever the client."""
    # kafka-python logs every lost connection and retry; the errors raised here are more useful.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    try:
        if not settings.kafka_bootstrap:
            # kafka-python would retry for longer.
            with socket.create_connection((settings.kafka_host, settings.kafka_port), timeout=_CONNECT_SECONDS):
                pass
        admin = KafkaAdminClient(
            **kafka_python_options(settings),
            bootstrap_timeout_ms=BOOTSTRAP_SECONDS * 1_000,
            request_timeout_ms=10_000,
        )
        try:
            known = set(admin.list_topics())
            missing = [topic for topic in topics.values() if topic not in known]
            if missing:
                raise TerminalError(
                    f"Kafka at {settings.kafka} has no topic {', '.join(missing)}",
                    "run `make up`, which creates the topics",
                )
            found = {topic["name"]: len(topic["partitions"]) for topic in admin.describe_topics([*topics.values()])}
        finally:
            admin.close()
    except (OSError, KafkaError) as error:
        raise _down(settings, error) from None
    return {stream: Topic(topic, found[topic]) for stream, topic in topics.items()}
