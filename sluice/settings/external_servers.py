"""The settings of servers that the platform uses but does not run: Kafka, an S3 store, Postgres, a schema registry."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import AfterValidator, Field, SecretStr
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings

_ADDRESSES = re.compile(r"[^\s,:/@]+:\d{1,5}(,[^\s,:/@]+:\d{1,5})*")
_URL = re.compile(r"https?://[^\s/@:?#]+(:\d{1,5})?(/[^\s?#]*)?")
_ENDPOINT = re.compile(r"https?://[^\s/@:]+(:\d{1,5})?")

User = Literal["writer", "reader", "keeper"]
"""A user of the lake."""
USERS: tuple[User, ...] = ("writer", "reader", "keeper")
Fault = tuple[str, str, str]
"""The field of a setting, what is wrong with it, and a hint."""


def _readable(path: Path) -> Path:
    if not (path.is_file() and os.access(path, os.R_OK)):
        raise PydanticCustomError("no_file", "cannot read the file {path}", {"path": str(path)})
    # Processes that get this setting run in other folders.
    return path.resolve()


def _addresses(text: str) -> str:
    if text and not _ADDRESSES.fullmatch(text):
        raise PydanticCustomError("addresses", "expected host:port, or several of these separated by commas")
    return text


def _endpoint(text: str) -> str:
    if text and not _ENDPOINT.fullmatch(text):
        raise PydanticCustomError("endpoint", "expected a URL such as https://s3.example.com:9000, without a path")
    return text


def check_url(text: str) -> str:
    """Returns a URL without credentials and without a trailing slash; an error if a text is none."""
    if text and not _URL.fullmatch(text):
        raise PydanticCustomError("url", "expected a URL such as https://example.com:8081, without a user")
    return text.rstrip("/")


File = Annotated[Path, AfterValidator(_readable)]
Port = Annotated[int, Field(ge=1, le=65_535)]


class ExternalServers(BaseSettings):
    """Addresses, encryption and credentials. A server without an address here is the platform's own."""

    kafka_bootstrap: Annotated[str, AfterValidator(_addresses)] = ""
    """The addresses at which clients first connect to an external Kafka, as ``host:port,host:port``."""
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    kafka_user: str = ""
    kafka_password: SecretStr | None = None
    kafka_ca_file: File | None = None
    """The certificates of the authorities that sign the brokers' certificates, as PEM; None for the system's."""
    kafka_certificate_file: File | None = None
    """The clients' certificate, as PEM."""
    kafka_key_file: File | None = None
    """The private key of the clients' certificate, as PEM without a passphrase."""

    s3_endpoint: Annotated[str, AfterValidator(_endpoint)] = ""
    """The URL of an external S3 store; ``https://`` for TLS."""
    s3_region: str = "us-east-1"
    s3_ca_file: File | None = None
    """The certificates of the authorities that sign the store's certificate, as PEM; None for the system's."""
    s3_access_key: str = ""
    """One pair of keys for every user of the lake without a pair of its own."""
    s3_secret_key: SecretStr | None = None
    lake_writer_access_key: str = ""
    """With ``lake_writer_password``: the pair of keys of the sink, in an external store; as the two below."""
    lake_reader_access_key: str = ""
    lake_keeper_access_key: str = ""
    lakehouse_access_key: str = ""
    """With ``lakehouse_password``: the pair of keys of Spark's programs, in an external store."""

    warehouse_host: str = ""
    """The host of an external Postgres, for the warehouse alone: Airflow's metadata stays in the platform's own."""
    warehouse_port: Port = 5432
    warehouse_sslmode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] = "verify-full"
    warehouse_ca_file: File | None = None
    """The certificates of the authorities that sign the server's certificate, as PEM."""
    warehouse_admin: str = "postgres"
    """The role that creates and changes the warehouse, and owns its tables."""
    warehouse_admin_password: SecretStr | None = None
    """None if another administrator creates the warehouse: then nothing is created or changed, only checked."""

    schema_registry_url: Annotated[str, AfterValidator(check_url)] = ""
    """The schema registry (Confluent's REST interface) of streams in a format with schema ids, perhaps with a path."""
    schema_registry_user: str = ""
    schema_registry_password: SecretStr | None = None

    @property
    def kafka_uses_sasl(self) -> bool:
        """Whether clients authenticate at Kafka with a password."""
        return self.kafka_security_protocol.startswith("SASL")

    @property
    def needed_secrets(self) -> list[str]:
        """The secrets without which the external servers cannot be used."""
        common_pair = self.s3_endpoint and self.s3_access_key
        needed = {
            "kafka_password": self.kafka_uses_sasl,
            "s3_secret_key": common_pair,
            "schema_registry_password": self.schema_registry_user,
        }
        return [name for name, is_needed in needed.items() if is_needed]

    def faults(self) -> Iterator[Fault]:
        """Yields what is wrong with the settings together; each alone is valid.

        Passwords are not looked at: each process has only its own, and an error is raised where one is used.
        """
        yield from self._kafka_faults()
        yield from self._s3_faults()
        if not self.schema_registry_url:
            yield from self._without("schema_registry_url", "schema_registry_user", "schema_registry_password")
        elif not self.schema_registry_user:
            yield from self._without("schema_registry_user", "schema_registry_password")
        if self.warehouse_host:
            if self.warehouse_sslmode.startswith("verify") and self.warehouse_ca_file is None:
                yield (
                    "warehouse_ca_file",
                    f"is missing, and SLUICE_WAREHOUSE_SSLMODE={self.warehouse_sslmode} needs it",
                    "name a file with the certificate authority, such as /etc/ssl/certs/ca-certificates.crt; or choose"
                    " SLUICE_WAREHOUSE_SSLMODE=require, which encrypts but does not verify the server",
                )
        else:
            yield from self._without("warehouse_host", "warehouse_ca_file", "warehouse_admin_password")

    def _kafka_faults(self) -> Iterator[Fault]:
        if not self.kafka_bootstrap:
            fields = ("kafka_user", "kafka_password", "kafka_ca_file", "kafka_certificate_file", "kafka_key_file")
            yield from self._without("kafka_bootstrap", "kafka_sasl_mechanism", *fields)
            if self.kafka_security_protocol != "PLAINTEXT":
                yield from self._without("kafka_bootstrap", "kafka_security_protocol")
            return
        protocol = f"SLUICE_KAFKA_SECURITY_PROTOCOL={self.kafka_security_protocol}"
        if self.kafka_uses_sasl:
            if self.kafka_sasl_mechanism is None:
                hint = "set it to PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512, as the brokers have it"
                yield "kafka_sasl_mechanism", f"is missing, and {protocol} needs it", hint
            if not self.kafka_user:
                yield "kafka_user", f"is missing, and {protocol} needs it", "set user and password"
        elif self.kafka_user or self.kafka_password or self.kafka_sasl_mechanism:
            name = "kafka_user" if self.kafka_user else "kafka_password"
            name = "kafka_sasl_mechanism" if self.kafka_sasl_mechanism else name
            hint = "set SLUICE_KAFKA_SECURITY_PROTOCOL=SASL_SSL, or remove it"
            yield name, f"has no effect with {protocol}, which uses no password", hint
        files = {name: getattr(self, f"kafka_{name}_file") for name in ("ca", "certificate", "key")}
        if given := next((name for name, file in files.items() if file), None):
            if not self.kafka_security_protocol.endswith("SSL"):
                hint = "set SLUICE_KAFKA_SECURITY_PROTOCOL to SSL or SASL_SSL, or remove it"
                yield f"kafka_{given}_file", f"has no effect with {protocol}, which does not encrypt", hint
            elif bool(files["certificate"]) != bool(files["key"]):
                missing = "key" if files["certificate"] else "certificate"
                hint = "set both the certificate and its key, or neither"
                yield f"kafka_{missing}_file", "is missing: a client certificate has two files", hint

    def _s3_faults(self) -> Iterator[Fault]:
        keys = [f"lake_{user}_access_key" for user in USERS]
        if not self.s3_endpoint:
            pairs = ("s3_access_key", "s3_secret_key", *keys, "lakehouse_access_key")
            yield from self._without("s3_endpoint", "s3_ca_file", *pairs)
            return
        if self.s3_ca_file and self.s3_endpoint.startswith("http:"):
            yield "s3_ca_file", "has no effect with an endpoint without TLS", "write SLUICE_S3_ENDPOINT with https://"
        for name in keys:
            if not getattr(self, name):
                hint = "set SLUICE_S3_ACCESS_KEY and SLUICE_S3_SECRET_KEY, or a pair of keys for each user of the lake"
                yield name, "is missing, and there is no SLUICE_S3_ACCESS_KEY in its place", hint

    def _without(self, address: str, *names: str) -> Iterator[Fault]:
        for name in names:
            if getattr(self, name):
                hint = f"set SLUICE_{address.upper()}, or remove it"
                yield name, f"has no effect without SLUICE_{address.upper()}", hint

    def model_post_init(self, context: Any) -> None:
        """Gives each user of the lake the common pair of keys, unless it has one of its own."""
        super().model_post_init(context)
        owners = [*(f"lake_{user}" for user in USERS), "lakehouse"]
        for owner in owners if self.s3_endpoint and self.s3_access_key else ():
            if not getattr(self, f"{owner}_access_key"):
                setattr(self, f"{owner}_access_key", self.s3_access_key)
                setattr(self, f"{owner}_password", self.s3_secret_key)


GIVEN_SECRETS = tuple(
    name for name, field in cast(Any, ExternalServers).model_fields.items() if field.annotation == SecretStr | None
)
"""The secrets that the servers' administrators give, and that are not generated."""
