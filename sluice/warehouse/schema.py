"""The warehouse's schemas, tables, views and grants. Everything here is idempotent."""

from collections.abc import Callable, Mapping
from pathlib import Path

import psycopg

from sluice.contracts import Contract
from sluice.errors import SluiceError, TerminalError, TransientError
from sluice.settings import Settings
from sluice.warehouse.connect import Role, can_provision, connect
from sluice.warehouse.external import database_exists, require_provisioned
from sluice.warehouse.lock import lock_provisioning
from sluice.warehouse.migrations import known_migrations, migrate
from sluice.warehouse.raw_table import check_raw_table, create_indexes, create_or_alter_raw_table
from sluice.warehouse.roles import provision_roles

LOCK_TIMEOUT = "60s"
"""How long to wait for a lock: meanwhile, all later readers of the table wait as well."""
_FOLDER = Path(__file__).parent


def provision(
    settings: Settings,
    contracts: Mapping[str, Contract],
    report: Callable[[str], None] = lambda _: None,
    on_refused: Callable[[str, SluiceError], None] | None = None,
) -> str | None:
    """Upgrades the warehouse, creates everything that is missing, and sets the roles' passwords to the settings'.

    The warehouse changes in one transaction: if a step fails, it is as before, and the version of the code that
    launched it can still use it. An external warehouse without the administrator's password is only checked.

    Args:
        settings: with every secret.
        contracts: by stream.
        report: receives a line per change of a raw table.
        on_refused: receives a stream and the error of its raw table, which is unchanged then; by default it is raised.

    Returns:
        The version that the tables were migrated to; None if they had it already.

    Raises:
        TransientError: the server is down, or other sessions hold locks on the tables.
        TerminalError: the warehouse is newer than the code, or a contract cannot be applied to its raw table; or the
            administrator of an external server has to do something.
    """
    changes: list[str] = []
    provision_roles(settings)
    if not can_provision(settings):
        require_provisioned(settings, contracts, on_refused)
        return None
    try:
        with connect(settings, "postgres") as warehouse:
            lock_provisioning(warehouse)
            warehouse.execute("select set_config('lock_timeout', %s, true)", (LOCK_TIMEOUT,))
            applied = migrate(warehouse, known_migrations())
            warehouse.execute(_statements("views.sql"))
            for contract in contracts.values():
                try:
                    with warehouse.transaction():
                        changes += _provision_stream(warehouse, contract)
                except SluiceError as error:
                    if on_refused is None:
                        raise
                    on_refused(contract.stream, error)
            warehouse.execute(_statements("grants.sql"))
    except psycopg.OperationalError as error:
        raise TransientError(
            f"provisioning the warehouse failed, nothing was changed: {error}",
            "end the sessions that hold locks on its tables, then run `make up` again",
        ) from error
    for line in changes:
        report(line)
    return f"migrated to version {applied[-1].version}" if applied else None


def refused_contracts(settings: Settings, contracts: Mapping[str, Contract]) -> dict[str, TerminalError]:
    """Returns, by stream, why a contract cannot be applied to its raw table. Changes nothing.

    Raises:
        TransientError: the server is down.
    """
    role: Role = "postgres" if can_provision(settings) else "reader"
    if not database_exists(settings, role):
        return {}
    refused: dict[str, TerminalError] = {}
    with connect(settings, role) as warehouse:
        for contract in contracts.values():
            try:
                check_raw_table(warehouse, contract)
            except TerminalError as error:
                refused[contract.stream] = error
    return refused


def _provision_stream(warehouse: "psycopg.Connection[tuple[object, ...]]", contract: Contract) -> list[str]:
    changes = create_or_alter_raw_table(warehouse, contract)
    create_indexes(warehouse, contract)
    warehouse.execute(
        "insert into ops.streams (stream, lateness, topic) values (%s, %s, %s)"
        " on conflict (stream) do update set lateness = excluded.lateness, topic = excluded.topic",
        (contract.stream, contract.lateness, contract.topic_name),
    )
    return changes


def _statements(file: str) -> bytes:
    return (_FOLDER / file).read_bytes()
