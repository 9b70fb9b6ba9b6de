"""The settings of a task, with the warehouse password of its own role only."""

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException
from pydantic import SecretStr

from sluice.errors import TerminalError
from sluice.settings import Settings, load_settings


def settings_as(role: str) -> Settings:
    """Returns the settings with the address and password from Airflow's connection ``warehouse_<role>``.

    Tasks take the password from the connection, not from the environment: an operator can change the password or the
    server in Airflow's connections, and Airflow masks the password in logs.

    Args:
        role: ``loader``, ``transformer`` or ``reader``.

    Raises:
        TerminalError: Airflow has no such connection.
    """
    name = f"warehouse_{role}"
    try:
        connection = BaseHook.get_connection(name)
    except AirflowNotFoundException:
        raise TerminalError(
            f"Airflow has no connection {name}", "run `make up`, or add it under Admin, Connections"
        ) from None
    settings = load_settings()
    return settings.model_copy(
        update={
            "postgres_host": connection.host or settings.postgres_host,
            "postgres_port": connection.port or settings.postgres_port,
            "warehouse": connection.schema or settings.warehouse,
            f"{role}_password": SecretStr(connection.password or ""),
        }
    )
