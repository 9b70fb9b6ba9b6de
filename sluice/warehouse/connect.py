"""Connections to the warehouse, one role per purpose."""

from typing import Literal

import psycopg

from sluice.errors import SluiceError, TerminalError, TransientError
from sluice.settings import Settings
from sluice.urls import url

Role = Literal["postgres", "loader", "transformer", "live", "reader"]

REJECTED = "password authentication failed"
OTHER_SETTINGS_HINT = (
    "Postgres's data was set up with another SLUICE_POSTGRES_PASSWORD: restore the settings file of that time, or run "
    "`make clean`, which deletes all data, and then `make up`"
)
"""What to do if the administrator's password is wrong. Each `make up` sets all other passwords again."""
_WRONG_CREDENTIALS = (REJECTED, "no password supplied", "does not exist")


def role_name(role: Role) -> str:
    """Returns the role's name in Postgres."""
    return "postgres" if role == "postgres" else f"sluice_{role}"


def uri(settings: Settings, role: Role) -> str:
    """Returns a connection URI for a role. It contains the password: never print it.

    Raises:
        TerminalError: this process was not given the role's password.
    """
    password = settings.secret(f"{role}_password")
    address = f"{settings.postgres_host}:{settings.postgres_port}"
    return f"{url('postgresql', role_name(role), password, address, settings.warehouse)}?connect_timeout=10"


def connect(settings: Settings, role: Role, database: str | None = None) -> "psycopg.Connection[tuple[object, ...]]":
    """Connects to the warehouse, or to another database of the same server.

    Raises:
        TransientError: the server is down or starting.
        TerminalError: it rejects the role, the password or the database.
    """
    try:
        return psycopg.connect(
            host=settings.postgres_host,
            port=settings.postgres_port,
            dbname=database or settings.warehouse,
            user=role_name(role),
            password=settings.secret(f"{role}_password"),
            connect_timeout=10,
            application_name=f"sluice-{role}",
        )
    except psycopg.OperationalError as error:
        raise refusal(settings, role, error) from error


def refusal(settings: Settings, role: Role, error: Exception) -> SluiceError:
    """Returns the error that a failed connection means, in one line."""
    message = f"Postgres at {settings.postgres_host}:{settings.postgres_port} as {role_name(role)}: {error}"
    if role == "postgres" and REJECTED in str(error):
        return TerminalError(message, OTHER_SETTINGS_HINT)
    if any(sign in str(error) for sign in _WRONG_CREDENTIALS):
        return TerminalError(
            message, f"check SLUICE_{role.upper()}_PASSWORD; run `make up` to create missing roles and databases"
        )
    return TransientError(message, "see `make status` and `make logs S=postgres`")
