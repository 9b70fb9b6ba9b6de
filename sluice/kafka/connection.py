"""How clients connect to Kafka: addresses, encryption and credentials, once for each of the two client libraries."""

from typing import Any

from sluice.settings import Settings

Options = dict[str, str | int | float | bool]


def librdkafka_options(settings: Settings) -> Options:
    """Returns the options of confluent-kafka's clients. They may contain the password: never log them.

    Raises:
        TerminalError: Kafka asks for a password, and this process has none.
    """
    options: Options = {"bootstrap.servers": settings.kafka}
    if not settings.kafka_bootstrap:
        return options
    options["security.protocol"] = settings.kafka_security_protocol
    if settings.kafka_uses_sasl:
        options["sasl.mechanism"] = str(settings.kafka_sasl_mechanism)
        options["sasl.username"] = settings.kafka_user
        options["sasl.password"] = settings.secret("kafka_password")
    files = {
        "ca": settings.kafka_ca_file,
        "certificate": settings.kafka_certificate_file,
        "key": settings.kafka_key_file,
    }
    return options | {f"ssl.{name}.location": str(file) for name, file in files.items() if file}


def kafka_python_options(settings: Settings) -> dict[str, Any]:
    """Returns the options of kafka-python's clients. They may contain the password: never log them.

    Raises:
        TerminalError: Kafka asks for a password, and this process has none.
    """
    options: dict[str, Any] = {"bootstrap_servers": settings.kafka.split(",")}
    if not settings.kafka_bootstrap:
        return options
    options["security_protocol"] = settings.kafka_security_protocol
    if settings.kafka_uses_sasl:
        options["sasl_mechanism"] = settings.kafka_sasl_mechanism
        options["sasl_plain_username"] = settings.kafka_user
        options["sasl_plain_password"] = settings.secret("kafka_password")
    files = {
        "ssl_cafile": settings.kafka_ca_file,
        "ssl_certfile": settings.kafka_certificate_file,
        "ssl_keyfile": settings.kafka_key_file,
    }
    return options | {name: str(file) for name, file in files.items() if file}
