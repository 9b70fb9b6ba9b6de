"""The server's roles and databases: one role per service, with the passwords of the settings."""

import psycopg
from psycopg import sql

from sluice.settings import Settings
from sluice.warehouse.connect import AIRFLOW, Role, connect, connect_to, own_server, role_name
from sluice.warehouse.external import provision_external
from sluice.warehouse.lock import lock_provisioning

ROLES: tuple[Role, ...] = ("loader", "transformer", "live", "reader")


def provision_roles(settings: Settings) -> None:
    """Creates the roles and databases that are missing, and sets the roles' passwords. Idempotent.

    In an external server, nothing that exists is changed.

    Raises:
        TransientError: a server is down.
        TerminalError: the administrator of an external server has to do something.
    """
    provision_own_server(settings)
    if settings.warehouse_host:
        provision_external(settings, ROLES)


def provision_own_server(settings: Settings) -> None:
    """Does so in the platform's own server, which has Airflow's metadata and, unless it is external, the warehouse.

    Raises:
        TransientError: the server is down.
    """
    # The reader also reads Airflow's runs.
    roles: tuple[Role, ...] = ("reader",) if settings.warehouse_host else ROLES
    with connect_to(settings, own_server(settings), "postgres", "postgres") as server:
        server.autocommit = True
        lock_provisioning(server)
        for role in roles:
            _create_or_update_role(server, role_name(role), settings.secret(f"{role}_password"))
        _create_or_update_role(server, AIRFLOW, settings.secret("airflow_db_password"))
        _create_database(server, AIRFLOW, owner=AIRFLOW, users=[role_name("reader")])
        if not settings.warehouse_host:
            _create_database(server, settings.warehouse, owner="postgres", users=[role_name(role) for role in roles])


def share_runs(settings: Settings) -> None:
    """Lets the reader see what does not import, and the times and states of Airflow's runs, but not their parameters.

    Raises:
        TransientError: the server is down.
    """
    with connect(settings, "postgres", database=AIRFLOW) as airflow:
        airflow.execute(
            "grant select (dag_id, run_id, state, run_type, run_after, queued_at, start_date, end_date) on dag_run"
            " to sluice_reader"
        )
        airflow.execute(
            "grant select (dag_id, run_id, task_id, map_index, state, try_number, start_date) on task_instance"
            " to sluice_reader"
        )
        # Which runs have returned what, but not the values.
        airflow.execute("grant select (dag_id, run_id, key) on xcom to sluice_reader")
        airflow.execute("grant select (dag_id, is_stale, is_paused) on dag to sluice_reader")
        airflow.execute("grant select (id, filename, stacktrace) on import_error to sluice_reader")


def _create_or_update_role(server: "psycopg.Connection[tuple[object, ...]]", name: str, password: str) -> None:
    exists = server.execute("select from pg_roles where rolname = %s", (name,)).rowcount
    verb = sql.SQL("alter" if exists else "create")
    verifier = server.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256")
    # Only the verifier is sent to the server, so that no statement log can contain the password.
    server.execute(
        sql.SQL("{} role {} login password {}").format(verb, sql.Identifier(name), sql.Literal(verifier.decode()))
    )


def _create_database(server: "psycopg.Connection[tuple[object, ...]]", name: str, owner: str, users: list[str]) -> None:
    if not server.execute("select from pg_database where datname = %s", (name,)).rowcount:
        server.execute(
            sql.SQL("create database {} owner {} template template0 encoding 'UTF8'").format(
                sql.Identifier(name), sql.Identifier(owner)
            )
        )
    server.execute(sql.SQL("revoke all on database {} from public").format(sql.Identifier(name)))
    for user in users:
        server.execute(
            sql.SQL("grant connect, temporary on database {} to {}").format(sql.Identifier(name), sql.Identifier(user))
        )
