"""Kafka's admin client, and what its errors mean."""

from collections.abc import Iterator
from contextlib import contextmanager

from kafka import KafkaAdminClient
from kafka.errors import AuthorizationError, KafkaError

from sluice.errors import SluiceError, TerminalError, TransientError
from sluice.kafka.connection import kafka_python_options
from sluice.settings import Settings

_TIMEOUT_MS = 10_000


@contextmanager
def admin(settings: Settings) -> Iterator[KafkaAdminClient]:
    """Opens an admin client.

    Raises:
        TransientError: Kafka is down.
        TerminalError: Kafka rejects the credentials, or the user has no right to do this.
    """
    try:
        client = KafkaAdminClient(
            **kafka_python_options(settings),
            client_id="sluice-admin",
            request_timeout_ms=_TIMEOUT_MS,
            bootstrap_timeout_ms=_TIMEOUT_MS,
        )
    except KafkaError as error:
        raise _error(settings, error) from error
    try:
        yield client
    except KafkaError as error:
        raise _error(settings, error) from error
    finally:
        client.close()


def user(settings: Settings) -> str:
    """Returns who the platform is at Kafka, for messages."""
    return f"user {settings.kafka_user}" if settings.kafka_user else "the platform's user"


def reason(error: KafkaError) -> str:
    """Returns what an error says; some say nothing but their name."""
    return str(error) or type(error).__name__


def _error(settings: Settings, error: KafkaError) -> SluiceError:
    if isinstance(error, AuthorizationError):
        return TerminalError(
            f"Kafka at {settings.kafka}: {user(settings)} has no right to do this: {reason(error)}",
            "ask Kafka's administrator for the rights that docs/how-to/external-servers.md lists",
        )
    if settings.kafka_bootstrap:
        from sluice.kafka.diagnosis import connection_fault

        if fault := connection_fault(settings):
            return fault
    return TransientError(
        f"Kafka at {settings.kafka}: {type(error).__name__}: {error}", "run `make status` and `make logs S=kafka`"
    )
