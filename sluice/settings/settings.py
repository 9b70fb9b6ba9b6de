"""The platform's settings: read once when a program starts, then passed down as values.

Settings come from the environment (``SLUICE_…``) and from the file that ``SLUICE_ENV_FILE`` names, if it exists
(default: ``.env`` in the project's root). The environment takes precedence.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PositiveInt, SecretStr, ValidationError
from pydantic_settings import BaseSettings, DotEnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from sluice.errors import TerminalError
from sluice.settings.external_servers import GIVEN_SECRETS, ExternalServers, check_url
from sluice.settings.syntax import parse

ROOT = Path(__file__).resolve().parents[2]
"""The project's root folder, which has contracts, dags and dbt."""

LOOPBACK = "127.0.0.1"

Port = Annotated[int, Field(ge=0, le=65_535)]


@dataclass(frozen=True)
class Pages:
    """URLs for a browser, without a trailing slash."""

    airflow: str
    dashboard: str
    dbt: str
    """The documentation of the dbt models, served by the dashboard."""
    lake: str
    """The lake's bucket in MinIO's console, with one folder per stream."""


class _SettingsFile(DotEnvSettingsSource):
    """Reads the file as the rest of the platform does."""

    def _read_env_file(self, file_path: Path) -> dict[str, str | None]:
        entries = parse(file_path.read_bytes(), file_path)
        return {name.lower(): entry.value for name, entry in entries.items() if entry.value}


class Settings(ExternalServers):
    """Everything that can differ between two running platforms.

    Secrets are optional because each service gets only its own; ``secret`` raises an error for a missing one.
    """

    model_config = SettingsConfigDict(env_prefix="SLUICE_", extra="ignore", env_ignore_empty=True)

    home: Path = ROOT / ".sluice"
    """The folder of the servers' data and logs. Ignored by git; ``make clean`` removes it."""
    service: str = ""
    """The service that this process belongs to. The platform sets it; no service for a command that a user enters."""
    contracts: Path = ROOT / "contracts"
    dbt: Path = ROOT / "dbt"
    """The dbt project."""
    answers: Path = ROOT / "answers"
    """The folder of a learner's files, for the exercises."""

    kafka_host: str = LOOPBACK
    kafka_port: Port = 9092
    kafka_controller_port: Port = 9093
    kafka_2_port: Port = 9192
    kafka_3_port: Port = 9292
    """The published ports of the second and third broker, if there are three (``PROFILE=scale``)."""

    minio_host: str = LOOPBACK
    minio_port: Port = 9000
    minio_console_port: Port = 9001
    minio_console_url: str = ""
    """The URL of MinIO's console for a browser, if it differs from ``minio_host`` and the console's port."""
    lake_bucket: str = "lake"
    sink_host: str = LOOPBACK
    sink_port: Port = 9095
    """The port of the sink's metrics and health check; 0 for any free port."""
    sink_age_seconds: Annotated[float, Field(gt=0, le=30)] = 10.0
    """The longest time a record waits before the sink commits it to the lake."""
    live_host: str = LOOPBACK
    live_port: Port = 9096
    """The port of the live view's metrics; 0 for any free port."""

    postgres_host: str = LOOPBACK
    postgres_port: Port = 5432
    warehouse: str = "warehouse"

    airflow_host: str = LOOPBACK
    airflow_port: Port = 8080
    airflow_executor: Literal["LocalExecutor", "CeleryExecutor"] = "LocalExecutor"
    """Airflow's tasks run in the scheduler, or in workers on any number of machines that take them from Redis."""
    airflow_workers: PositiveInt = 2
    """The number of workers, with CeleryExecutor."""
    redis_host: str = LOOPBACK
    redis_port: Port = 6379
    airflow_url: str = ""
    """The URL of Airflow's UI for a browser, if it differs from ``airflow``: behind a published port or a proxy."""

    dashboard_host: str = LOOPBACK
    dashboard_port: Port = 8090
    dashboard_url: str = ""
    """The dashboard's URL for a browser, if it differs from ``dashboard_host`` and its port."""

    spark_host: str = LOOPBACK
    """The host of Spark's master and workers, with ``make up ENGINE=spark``."""
    spark_port: Port = 7077
    spark_ui_port: Port = 7080
    """The port of the master's page."""
    spark_worker_1_ui_port: Port = 7081
    spark_worker_2_ui_port: Port = 7082
    spark_worker_memory: Annotated[str, Field(pattern=r"^[1-9][0-9]*[mg]$")] = "1g"
    """The memory of the programs that run on a worker, as Spark writes it: ``512m``, ``2g``."""
    spark_worker_cores: PositiveInt = 1
    """How many tasks run in parallel on a worker."""
    warehouse_bucket: str = "warehouse"
    """The bucket of the tables that Spark builds."""

    prometheus_port: Port = 9090
    """Prometheus's port, with ``make up OBSERVE=1``."""

    openlineage_url: Annotated[str, AfterValidator(check_url)] = Field(default="", validation_alias="openlineage_url")
    """The URL of the OpenLineage server that receives lineage events; none are sent without it.

    The alias is the name that OpenLineage's own tools read, ``OPENLINEAGE_URL``, instead of one with the prefix.
    """

    minio_root_password: SecretStr | None = None
    lake_writer_password: SecretStr | None = None
    lake_reader_password: SecretStr | None = None
    lake_keeper_password: SecretStr | None = None
    postgres_password: SecretStr | None = None
    loader_password: SecretStr | None = None
    transformer_password: SecretStr | None = None
    live_password: SecretStr | None = None
    reader_password: SecretStr | None = None
    airflow_db_password: SecretStr | None = None
    airflow_admin_password: SecretStr | None = None
    airflow_fernet_key: SecretStr | None = None
    airflow_api_secret_key: SecretStr | None = None
    airflow_jwt_secret: SecretStr | None = None
    redis_password: SecretStr | None = None
    spark_secret: SecretStr | None = None
    lakehouse_password: SecretStr | None = None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the base class's signature
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Returns the sources of values, the strongest first."""
        file = dotenv_settings.env_file if isinstance(dotenv_settings, DotEnvSettingsSource) else None
        return init_settings, env_settings, _SettingsFile(settings_cls, env_file=file)

    @property
    def kafka(self) -> str:
        """Kafka's bootstrap address, ``host:port``; of an external Kafka there may be several, with commas."""
        return self.kafka_bootstrap or f"{self.kafka_host}:{self.kafka_port}"

    @property
    def minio(self) -> str:
        """The address of the platform's own MinIO, ``host:port``."""
        return f"{self.minio_host}:{self.minio_port}"

    @property
    def lake_endpoint(self) -> str:
        """The URL of the store that holds the lake, without a trailing slash."""
        return self.s3_endpoint or f"http://{self.minio}"

    @property
    def lake_store(self) -> str:
        """The store that holds the lake, for messages."""
        return f"S3 at {self.s3_endpoint}" if self.s3_endpoint else f"MinIO at {self.minio}"

    @property
    def dbt_docs(self) -> Path:
        """The page that documents the dbt models: generated after a transform, served by the dashboard."""
        return self.home / "dbt" / "docs.html"

    @property
    def airflow(self) -> str:
        """The URL of Airflow's UI and REST API, without a trailing slash."""
        return f"http://{self.airflow_host}:{self.airflow_port}"

    @property
    def spark_master(self) -> str:
        """The URL at which programs reach Spark's cluster."""
        return f"spark://{self.spark_host}:{self.spark_port}"

    @property
    def pages(self) -> "Pages":
        """The URLs of the platform's pages for a browser. Servers may reach each other at other addresses."""
        console = self.minio_console_url or f"http://{self.minio_host}:{self.minio_console_port}"
        dashboard = self.dashboard_url or f"http://{self.dashboard_host}:{self.dashboard_port}"
        return Pages(
            airflow=self.airflow_url or self.airflow,
            dashboard=dashboard,
            dbt=f"{dashboard}/dbt",
            lake=f"{console}/browser/{self.lake_bucket}",
        )

    def secret(self, name: str) -> str:
        """Returns the value of a secret field.

        Raises:
            TerminalError: this process did not get that secret.
        """
        value: SecretStr | None = getattr(self, name)
        if value is None or not value.get_secret_value():
            hint = "set it in .env" if name in GIVEN_SECRETS else "run `make up`, which generates it in .env"
            raise TerminalError(
                f"the setting SLUICE_{name.upper()} is missing", f"{hint}; each service gets only its own secrets"
            )
        return value.get_secret_value()


def variable(field: str) -> str:
    """Returns the name of a setting's environment variable."""
    info = Settings.model_fields.get(field)
    return field.upper() if info is not None and info.validation_alias else f"SLUICE_{field.upper()}"


def env_file() -> Path:
    """Returns the path of the platform's settings file, which may not exist yet."""
    return Path(os.environ.get("SLUICE_ENV_FILE", ROOT / ".env")).resolve()


def file_variables(prefix: str) -> dict[str, str]:
    """Returns the variables of the settings file whose names begin with a prefix: those that another program reads.

    Raises:
        TerminalError: the file is invalid.
    """
    file = env_file()
    entries = parse(file.read_bytes(), file) if file.is_file() else {}
    return {name: entry.value for name, entry in entries.items() if name.startswith(prefix) and entry.value}


def load_settings() -> Settings:
    """Reads the settings from the environment and the settings file.

    Raises:
        TerminalError: a value is invalid; the message names the variable and the expected value.
    """
    try:
        settings = Settings(_env_file=env_file())  # type: ignore[call-arg]
    except ValidationError as error:
        details = error.errors()[0]
        name = variable("_".join(str(part) for part in details["loc"]))
        raise TerminalError(f"{_place(name)}: {name}: {details['msg']}", "fix it there or in the environment") from None
    for field, fault, hint in settings.faults():
        name = variable(field)
        raise TerminalError(f"{_place(name)}: {name} {fault}", hint)
    return settings


def _place(name: str) -> str:
    """Returns where a variable is set in the settings file; the file alone if it is not set there, or elsewhere too."""
    file = env_file()
    if name not in os.environ and file.is_file() and (entry := parse(file.read_bytes(), file).get(name)):
        return f"{file}, line {entry.line}"
    return str(file)
