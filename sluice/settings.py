"""The settings of the platform: read once, where a program starts, and passed down as values.

They come from the environment (``SLUICE_…``) and, where it exists, from the file that ``SLUICE_ENV_FILE`` names
(``.env`` at the project's root unless it says otherwise). The environment wins.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import PositiveInt, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from sluice.errors import TerminalError

ROOT = Path(__file__).resolve().parent.parent
"""The project's folder: contracts, dags and dbt are found below it."""

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Pages:
    """Addresses for a browser, without a trailing slash."""

    airflow: str
    dashboard: str
    dbt: str
    """The models' documentation, which the dashboard serves."""
    lake: str
    """The lake's bucket in MinIO's console; each stream has a folder below it."""


class Settings(BaseSettings):
    """Every fact that differs from one running platform to another.

    Secrets are optional here because each service is given only its own; ``secret`` turns a missing one into an error.
    """

    model_config = SettingsConfigDict(env_prefix="SLUICE_", extra="ignore")

    home: Path = ROOT / ".sluice"
    """Where servers keep their data and logs. Ignored by git; ``make clean`` removes it."""
    contracts: Path = ROOT / "contracts"
    dbt: Path = ROOT / "dbt"
    """dbt's project: the models."""

    kafka_host: str = LOOPBACK
    kafka_port: int = 9092
    kafka_controller_port: int = 9093
    kafka_2_port: int = 9192
    kafka_3_port: int = 9292
    """The published ports of the second and third broker, where there are three (``PROFILE=scale``)."""

    minio_host: str = LOOPBACK
    minio_port: int = 9000
    minio_console_port: int = 9001
    minio_console_url: str = ""
    """The address of MinIO's console for a browser, where that is not at ``minio_host``."""
    lake_bucket: str = "lake"
    sink_host: str = LOOPBACK
    sink_port: int = 9095
    """The sink's metrics and health; 0 for any free port."""
    sink_age_seconds: float = 10.0
    """How long a record waits at most before the sink commits it to the lake."""

    postgres_host: str = LOOPBACK
    postgres_port: int = 5432
    warehouse: str = "warehouse"

    airflow_host: str = LOOPBACK
    airflow_port: int = 8080
    airflow_executor: Literal["LocalExecutor", "CeleryExecutor"] = "LocalExecutor"
    """Who runs Airflow's tasks: its scheduler, or workers that take them from Redis, on any number of machines."""
    airflow_workers: PositiveInt = 2
    """How many workers, with CeleryExecutor."""
    redis_host: str = LOOPBACK
    redis_port: int = 6379
    airflow_url: str = ""
    """The address of Airflow's UI for a browser, where that is not ``airflow``: before a published port or a proxy."""

    dashboard_host: str = LOOPBACK
    dashboard_port: int = 8090
    dashboard_url: str = ""
    """The dashboard's address for a browser, where that is not ``dashboard_host`` and its port."""

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

    @property
    def kafka(self) -> str:
        """Kafka's bootstrap address, ``host:port``."""
        return f"{self.kafka_host}:{self.kafka_port}"

    @property
    def minio(self) -> str:
        """MinIO's address, ``host:port``."""
        return f"{self.minio_host}:{self.minio_port}"

    @property
    def dbt_docs(self) -> Path:
        """The page that documents the models: dbt makes it after a transform, the dashboard serves it."""
        return self.home / "dbt" / "docs.html"

    @property
    def airflow(self) -> str:
        """The address of Airflow's UI and REST API, without a trailing slash."""
        return f"http://{self.airflow_host}:{self.airflow_port}"

    @property
    def pages(self) -> "Pages":
        """The platform's pages, at their addresses for a browser. Servers may reach each other elsewhere."""
        console = self.minio_console_url or f"http://{self.minio_host}:{self.minio_console_port}"
        dashboard = self.dashboard_url or f"http://{self.dashboard_host}:{self.dashboard_port}"
        return Pages(
            airflow=self.airflow_url or self.airflow,
            dashboard=dashboard,
            dbt=f"{dashboard}/dbt",
            lake=f"{console}/browser/{self.lake_bucket}",
        )

    def secret(self, name: str) -> str:
        """The value of a secret field.

        Raises:
            TerminalError: this process was not given that secret.
        """
        value: SecretStr | None = getattr(self, name)
        if value is None or not value.get_secret_value():
            raise TerminalError(
                f"the setting SLUICE_{name.upper()} is missing",
                "`make up` generates it in .env; a service is given only its own secrets",
            )
        return value.get_secret_value()


def env_file() -> Path:
    """The file that holds this platform's settings and secrets; it need not exist yet."""
    return Path(os.environ.get("SLUICE_ENV_FILE", ROOT / ".env")).resolve()


def load_settings() -> Settings:
    """Reads the settings from the environment and the settings file.

    Raises:
        TerminalError: a value has the wrong form; the message names the variable and what was expected.
    """
    try:
        return Settings(_env_file=env_file())  # type: ignore[call-arg]
    except ValidationError as error:
        fault = error.errors()[0]
        name = "SLUICE_" + "_".join(str(part) for part in fault["loc"]).upper()
        raise TerminalError(f"{env_file()}: {name}: {fault['msg']}", "correct it there or in the environment") from None
