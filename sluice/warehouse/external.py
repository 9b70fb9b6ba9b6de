"""The warehouse in a server that the platform does not run: what is missing is created, nothing that exists is changed.

What the platform's administrator may not do, the server's has to: one error lists the statements.
"""

from collections.abc import Callable, Mapping

import psycopg
from psycopg import sql

from sluice.contracts import Contract
from sluice.errors import SluiceError, TerminalError
from sluice.settings import Settings
from sluice.warehouse.connect import Role, can_provision, connect, role_name, warehouse_server
from sluice.warehouse.lock import lock_provisioning
from sluice.warehouse.migrations import known_migrations, pending
from sluice.warehouse.raw_table import require_raw_table

Connection = psycopg.Connection[tuple[object, ...]]

_TRANSFORMER = role_name("transformer")
_BY_ADMINISTRATOR = (
    "run `make up` once with SLUICE_WAREHOUSE_ADMIN_PASSWORD, or let the server's administrator do so: see"
    " docs/how-to/external-servers.md"
)


def provision_external(settings: Settings, roles: tuple[Role, ...]) -> None:
    """Creates the roles and the database that are missing, and checks that each role can log in.

    Without the administrator's password, it only checks.

    Raises:
        TransientError: the server is down.
        TerminalError: a role cannot log in, or the administrator may not do what is missing; the hint has statements.
    """
    created: set[Role] = set()
    if can_provision(settings):
        database = settings.warehouse if database_exists(settings, "postgres") else "postgres"
        with connect(settings, "postgres", database=database) as server:
            server.autocommit = True
            lock_provisioning(server)
            created = _create_missing(server, settings, roles)
    for role in roles:
        if role not in created:
            connect(settings, role).close()


def database_exists(settings: Settings, role: Role) -> bool:
    """Returns whether the warehouse's database exists, as a role that can log in sees it.

    Raises:
        TransientError: the server is down.
        TerminalError: it rejects the role.
    """
    try:
        connect(settings, role).close()
    except TerminalError as error:
        if f'database "{settings.warehouse}" does not exist' in error.message:
            return False
        raise
    return True


def require_provisioned(
    settings: Settings,
    contracts: Mapping[str, Contract],
    on_refused: Callable[[str, SluiceError], None] | None = None,
) -> None:
    """Checks that the warehouse, which another administrator creates, is as this version of the code needs it.

    Args:
        settings: with the passwords of the roles.
        contracts: by stream.
        on_refused: receives a stream and the error of its raw table; by default it is raised.

    Raises:
        TransientError: the server is down.
        TerminalError: something is missing.
    """
    name = f"the warehouse {settings.warehouse} at {warehouse_server(settings).address}"
    with connect(settings, "reader") as warehouse:
        try:
            rows = warehouse.execute("select version, name from ops.migrations").fetchall()
        except (psycopg.errors.UndefinedTable, psycopg.errors.InsufficientPrivilege) as error:
            raise TerminalError(f"{name} has no tables of the platform yet", _BY_ADMINISTRATOR) from error
        todo = pending(known_migrations(), [(int(str(version)), str(migration)) for version, migration in rows])
        if todo:
            raise TerminalError(f"{name} is older than this version of the code", _BY_ADMINISTRATOR)
        for contract in contracts.values():
            try:
                require_raw_table(warehouse, contract)
            except TerminalError as error:
                refused = TerminalError(error.message, _BY_ADMINISTRATOR)
                if on_refused is None:
                    raise refused from error
                on_refused(contract.stream, refused)


def _create_missing(server: Connection, settings: Settings, roles: tuple[Role, ...]) -> set[Role]:
    """Returns the roles that it has created."""
    denied: dict[str, psycopg.Error] = {}

    def run(statement: sql.Composed, shown: str = "") -> None:
        try:
            server.execute(statement)
        except psycopg.errors.InsufficientPrivilege as error:
            denied[shown or statement.as_string(server)] = error

    created: set[Role] = set()
    admin, warehouse = sql.Identifier(settings.warehouse_admin), sql.Identifier(settings.warehouse)
    for role in roles:
        name, password = role_name(role), settings.secret(f"{role}_password")
        if not _holds(server, "select exists (select from pg_roles where rolname = %s)", name):
            # Only the verifier is sent to the server, so that no statement log can contain the password.
            verifier = server.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256").decode()
            create = sql.SQL("create role {} login password {}").format(sql.Identifier(name), sql.Literal(verifier))
            run(create, f"create role {name} login password '…' (SLUICE_{role.upper()}_PASSWORD)")
            created.add(role)
    if not _holds(server, "select exists (select from pg_database where datname = %s)", settings.warehouse):
        run(sql.SQL("create database {} template template0 encoding 'UTF8'").format(warehouse))
    if not denied:
        for role in roles:
            if not _may(server, role_name(role), settings.warehouse, "connect"):
                grant = sql.SQL("grant connect, temporary on database {} to {}")
                run(grant.format(warehouse, sql.Identifier(role_name(role))))
        if not _may(server, settings.warehouse_admin, settings.warehouse, "create"):
            run(sql.SQL("grant create on database {} to {}").format(warehouse, admin))
        # The schemas of the transformer are created for it.
        if not _holds(server, "select pg_has_role(%s, 'usage')", _TRANSFORMER):
            run(sql.SQL("grant {} to {}").format(sql.Identifier(_TRANSFORMER), admin))
    if denied:
        error = next(iter(denied.values()))
        raise TerminalError(
            f"Postgres at {warehouse_server(settings).address} does not let {settings.warehouse_admin} create what is"
            f" missing: {error}",
            f"ask its administrator to run: {'; '.join(denied)}",
        )
    return created


def _may(server: Connection, role: str, database: str, privilege: str) -> bool:
    return _holds(server, "select has_database_privilege(%s, %s, %s)", role, database, privilege)


def _holds(server: Connection, query: str, *arguments: str) -> bool:
    row = server.execute(query.encode(), arguments).fetchone()
    return bool(row and row[0])
