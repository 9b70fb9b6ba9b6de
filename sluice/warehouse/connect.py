"""Connections to the warehouse, one role per purpose, and to the platform's own server."""

from dataclasses import dataclass, field
from typing import Literal

import psycopg
from psycopg.conninfo import make_conninfo

from sluice.errors import SluiceError, TerminalError, TransientError
from sluice.settings import Settings
from sluice.settings.urls import url

Role = Literal["postgres", "loader", "transformer", "live", "reader"]
"""``postgres`` stands for the administrator."""

AIRFLOW = "airflow"
"""Airflow's database, which is always in the platform's own server, and the role that owns it."""
REJECTED = "password authentication failed"
OTHER_SETTINGS_HINT = (
    "Postgres's data was set up with another SLUICE_POSTGRES_PASSWORD: restore the settings file of that time, or run "
    "`make clean`, which deletes all data, and then `make up`"
)
"""What to do if the administrator's password is wrong. Each `make up` sets all other passwords again."""
_WRONG_CREDENTIALS = (REJECTED, "no password supplied", "does not exist", "not permitted to log in")
_TLS = ("certificate verify failed", "server certificate for", "does not support SSL", "no pg_hba.conf entry")
"""How libpq and a server report that they do not agree on encryption."""


@dataclass(frozen=True)
class Server:
    """A Postgres server."""

    host: str
    port: int
    admin: str = "postgres"
    admin_secret: str = "postgres_password"  # noqa: S105 - the name of a setting
    tls: dict[str, str] = field(default_factory=dict)
    """libpq's parameters for encryption; none for its defaults."""

    @property
    def external(self) -> bool:
        """Whether the platform does not run it."""
        return bool(self.tls)

    @property
    def address(self) -> str:
        """``host:port``."""
        return f"{self.host}:{self.port}"

    def user(self, role: Role) -> str:
        """Returns the role's name."""
        return self.admin if role == "postgres" else role_name(role)

    def secret(self, role: Role) -> str:
        """Returns the name of the setting with the role's password."""
        return self.admin_secret if role == "postgres" else f"{role}_password"


def warehouse_server(settings: Settings) -> Server:
    """Returns the server of the warehouse."""
    if not settings.warehouse_host:
        return own_server(settings)
    tls: dict[str, str] = {"sslmode": settings.warehouse_sslmode}
    if settings.warehouse_ca_file:
        tls["sslrootcert"] = str(settings.warehouse_ca_file)
    admin = settings.warehouse_admin
    return Server(settings.warehouse_host, settings.warehouse_port, admin, "warehouse_admin_password", tls)


def own_server(settings: Settings) -> Server:
    """Returns the platform's own server, which has Airflow's metadata, and the warehouse unless that is external."""
    return Server(settings.postgres_host, settings.postgres_port)


def role_name(role: Role) -> str:
    """Returns the name of a service's role in Postgres."""
    return f"sluice_{role}"


def uri(settings: Settings, role: Role) -> str:
    """Returns a connection URI for a role. It contains the password: never print it.

    Raises:
        TerminalError: this process was not given the role's password.
    """
    server = warehouse_server(settings)
    password = settings.secret(server.secret(role))
    return url(
        "postgresql",
        server.user(role),
        password,
        server.address,
        settings.warehouse,
        {"connect_timeout": "10", **server.tls},
    )


def connect(settings: Settings, role: Role, database: str | None = None) -> "psycopg.Connection[tuple[object, ...]]":
    """Connects to the warehouse, or to another database: of the same server, or Airflow's.

    Raises:
        TransientError: the server is down or starting.
        TerminalError: it rejects the role, the password or the database, or cannot be verified.
    """
    return connect_to(settings, _server(settings, database), role, database or settings.warehouse)


def connect_to(
    settings: Settings, server: Server, role: Role, database: str
) -> "psycopg.Connection[tuple[object, ...]]":
    """Connects to a server.

    Raises:
        TransientError, TerminalError: as ``connect``.
    """
    try:
        return psycopg.connect(
            make_conninfo(**server.tls),
            host=server.host,
            port=server.port,
            dbname=database,
            user=server.user(role),
            password=settings.secret(server.secret(role)),
            connect_timeout=10,
            application_name=f"sluice-{role}",
        )
    except psycopg.OperationalError as error:
        raise _refusal(server, role, error) from error


def refusal(settings: Settings, role: Role, error: Exception, database: str | None = None) -> SluiceError:
    """Returns the error that a failed connection means, in one line. The arguments are those of ``connect``."""
    return _refusal(_server(settings, database), role, error)


def can_provision(settings: Settings) -> bool:
    """Returns whether the platform itself creates and changes the warehouse, and no other administrator does."""
    return not settings.warehouse_host or settings.warehouse_admin_password is not None


def _server(settings: Settings, database: str | None) -> Server:
    return own_server(settings) if database == AIRFLOW else warehouse_server(settings)


def _refusal(server: Server, role: Role, error: Exception) -> SluiceError:
    message = f"Postgres at {server.address} as {server.user(role)}: {error}"
    if role == "postgres" and not server.external and REJECTED in str(error):
        return TerminalError(message, OTHER_SETTINGS_HINT)
    if server.external and any(sign in str(error) for sign in _TLS):
        return TerminalError(message, "check SLUICE_WAREHOUSE_SSLMODE, SLUICE_WAREHOUSE_CA_FILE and the server's name")
    if any(sign in str(error) for sign in _WRONG_CREDENTIALS):
        name = f"SLUICE_{server.secret(role).upper()}"
        return TerminalError(message, f"check {name}; run `make up` to create missing roles and databases")
    external = "check SLUICE_WAREHOUSE_HOST and SLUICE_WAREHOUSE_PORT"
    return TransientError(message, external if server.external else "see `make status` and `make logs S=postgres`")
