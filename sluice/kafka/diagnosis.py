"""Why Kafka cannot be reached: librdkafka says what kafka-python only logs."""

import logging
import time

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from sluice.errors import SluiceError, TerminalError, TransientError
from sluice.kafka.connection import librdkafka_options
from sluice.settings import Settings

_SECONDS = 4.0
_ATTEMPT_SECONDS = 1.0
_LASTING = (
    KafkaError._AUTHENTICATION,
    KafkaError._SSL,
    KafkaError._UNSUPPORTED_FEATURE,
)
"""What no retry solves: wrong credentials, another authority."""
_HINT = "check the SLUICE_KAFKA_… settings: addresses, protocol, user, password and CA file"

_silent = logging.getLogger(f"{__name__}.silent")
"""librdkafka's own log would repeat the error several times a second."""
_silent.addHandler(logging.NullHandler())
_silent.propagate = False


def connection_fault(settings: Settings) -> SluiceError | None:
    """Connects to Kafka and returns why that fails; None if it works. Takes 5 seconds at most.

    Raises:
        TerminalError: Kafka asks for a password, and this process has none.
    """
    options = librdkafka_options(settings)
    faults: list[KafkaError] = []
    deadline = time.monotonic() + _SECONDS
    try:
        client = AdminClient({**options, "error_cb": faults.append}, logger=_silent)  # type: ignore[dict-item]
    except KafkaException as error:
        return TerminalError(f"Kafka at {settings.kafka}: {error.args[0].str()}", _HINT)
    while True:
        try:
            client.list_topics(timeout=_ATTEMPT_SECONDS)
        except KafkaException as error:
            # Calls back with the errors of the connections.
            client.poll(0)
            lasting = [fault for fault in faults if fault.code() in _LASTING]
            if lasting or time.monotonic() > deadline:
                causes = [fault for fault in faults if fault.code() != KafkaError._ALL_BROKERS_DOWN]
                found = [*lasting, *causes, error.args[0]][0]
                kind = TerminalError if lasting else TransientError
                return kind(f"Kafka at {settings.kafka}: {_cause(found.str())}", _HINT)
        else:
            return None


def _cause(text: str) -> str:
    """Returns librdkafka's message without the thread and the broker before it, and the duration after it.

    Such as ``[thrd:sasl_ssl://host:9093/bootstrap]: sasl_ssl://host:9093/bootstrap: Failed (after 9ms in state UP)``.
    """
    _, marker, rest = text.rpartition("/bootstrap: ")
    return (rest if marker else text).partition(" (after ")[0]
