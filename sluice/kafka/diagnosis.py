"""Why Kafka cannot be reached: librdkafka says what kafka-python only logs."""

import logging

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from sluice.errors import SluiceError, TerminalError, TransientError
from sluice.kafka.connection import librdkafka_options
from sluice.settings import Settings

_SECONDS = 5.0
_LASTING = (
    KafkaError._AUTHENTICATION,
    KafkaError._SSL,
    KafkaError._INVALID_ARG,
    KafkaError._UNSUPPORTED_FEATURE,
)
"""What no retry solves: wrong credentials, another authority, a file that is not a certificate."""
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
    try:
        client = AdminClient({**options, "error_cb": faults.append}, logger=_silent)  # type: ignore[dict-item]
        client.list_topics(timeout=_SECONDS)
    except KafkaException as error:
        lasting = [fault for fault in (*faults, error.args[0]) if fault.code() in _LASTING]
        found = [*lasting, *faults, error.args[0]][0]
        kind = TerminalError if lasting else TransientError
        return kind(f"Kafka at {settings.kafka}: {_cause(found.str())}", _HINT)
    return None


def _cause(text: str) -> str:
    """Returns librdkafka's message without the thread and the broker before it, and the duration after it.

    Such as ``[thrd:sasl_ssl://host:9093/bootstrap]: sasl_ssl://host:9093/bootstrap: Failed (after 9ms in state UP)``.
    """
    _, marker, rest = text.rpartition("/bootstrap: ")
    return (rest if marker else text).partition(" (after ")[0]
