"""What a task may know: the settings, and of the warehouse's passwords the one of the role that it works as."""

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException
from pydantic import SecretStr

from sluice.errors import TerminalError
from sluice.settings import Settings, load_settings


def settings_as(role: str) -> Settings:
    """The settings with the address and the password that Airflow's connection ``warehouse_<role>`` holds.

    Airflow's connections are where an operator rotates a password or points to another server, and where Airflow
    masks it in logs; so tasks take it there, and not from the environment.

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
            f"Airflow has no connection {name}", "`make up` defines it; or add it under Admin, Connections"
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
