"""The settings of a task, with the warehouse passwords of its own roles only."""

from typing import Any

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException
from pydantic import SecretStr

from sluice.errors import TerminalError
from sluice.settings import Settings, load_settings


def settings_as(*roles: str) -> Settings:
    """Returns the settings with the addresses and passwords from Airflow's connections ``warehouse_<role>``.

    Tasks take the passwords from the connections, not from the environment: an operator can change the password or the
    server in Airflow's connections, and Airflow masks the password in logs.

    Args:
        roles: ``loader``, ``transformer`` or ``reader``; the address is that of the first one's connection.

    Raises:
        TerminalError: Airflow has no such connection.
    """
    settings = load_settings()
    connections = {role: _connection(f"warehouse_{role}") for role in roles}
    address = connections[roles[0]]
    passwords = {f"{role}_password": SecretStr(connection.password or "") for role, connection in connections.items()}
    server = "warehouse" if settings.warehouse_host else "postgres"
    return settings.model_copy(
        update={
            f"{server}_host": address.host or getattr(settings, f"{server}_host"),
            f"{server}_port": address.port or getattr(settings, f"{server}_port"),
            "warehouse": address.schema or settings.warehouse,
            **passwords,
        }
    )


def lakehouse_settings() -> Settings:
    """Returns the settings with the address and the secrets from Airflow's connection ``lakehouse``.

    Raises:
        TerminalError: Airflow has no such connection.
    """
    connection = _connection("lakehouse")
    settings = settings_as("reader")
    return settings.model_copy(
        update={
            "spark_host": connection.host or settings.spark_host,
            "spark_port": connection.port or settings.spark_port,
            "lakehouse_password": SecretStr(connection.password or ""),
            "spark_secret": SecretStr(connection.extra_dejson.get("spark_secret", "")),
        }
    )


def _connection(name: str) -> Any:
    try:
        return BaseHook.get_connection(name)
    except AirflowNotFoundException:
        raise TerminalError(
            f"Airflow has no connection {name}", "run `make up`, or add it under Admin, Connections"
        ) from None
