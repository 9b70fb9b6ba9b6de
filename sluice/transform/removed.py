"""Marts that no model builds any more: published tables of models that were removed, renamed or moved to staging."""

from collections.abc import Iterable
from typing import LiteralString

import psycopg
from psycopg import sql

from sluice.contracts import Contract
from sluice.errors import SluiceError, TerminalError, TransientError
from sluice.settings import Settings
from sluice.transform.dbt import Dbt
from sluice.transform.exclusive import exclusive
from sluice.transform.lineage import marts_of
from sluice.transform.mart_tables import MARTS, Table, find_table
from sluice.transform.project import built_digest, project_digest
from sluice.transform.sources import declare_sources
from sluice.transform.stale import Connection, create_tables, postgres_errors
from sluice.warehouse import connect
from sluice.warehouse.failures import cause, is_transient

_LOCK_TIMEOUT = "5s"
_KINDS: dict[str, LiteralString] = {"v": "view", "m": "materialized view"}


def warning(names: Iterable[str]) -> str:
    """Returns a line that names marts that no model builds, and how to drop them."""
    tables = ", ".join(f"marts.{name}" for name in names)
    return (
        f"no model builds {tables} any more: readers still see the last rows."
        " Hint: `make up` asks whether to drop what no model builds, and `make up FORCE=1` drops it."
    )


def known_removed(connection: Connection) -> list[str]:
    """Returns the marts that the last transform has found without a model, and that are still there."""
    query = (
        "select mart from staging.transform_publications"
        " where removed and to_regclass(format('marts.%I', mart)) is not null order by mart"
    )
    with postgres_errors():
        return [str(mart) for (mart,) in connection.execute(query).fetchall()]


def read_removed(settings: Settings) -> list[str]:
    """Returns the marts that the last transform has found without a model; none while the warehouse is down.

    Args:
        settings: with the transformer's password.
    """
    try:
        with connect(settings, "transformer") as connection:
            create_tables(connection)
            return known_removed(connection)
    except SluiceError:
        return []


def find_removed(settings: Settings, contracts: dict[str, Contract], *, dbt: Dbt) -> list[str]:
    """Returns the marts that no model of the project builds, as it is now.

    Args:
        settings: with the transformer's password.
        contracts: by stream; dbt's sources are derived from them.
        dbt: parses the project, if it has changed since the last transform.

    Raises:
        TransientError: the warehouse is down, or a transform is running, which names them itself.
        TerminalError: the project does not parse.
    """
    with exclusive(settings, dbt.home, wait=False) as (connection, lock_fd):
        create_tables(connection)
        declare_sources(contracts, dbt)
        if built_digest(connection) in (None, project_digest(dbt)):
            return known_removed(connection)
        dbt.run("parse", inherit_fds=[lock_fd])
        current = [mart.name for mart in marts_of(dbt.read_manifest())]
        with postgres_errors():
            connection.execute("update staging.transform_publications set removed = mart <> all(%s)", (current,))
        return known_removed(connection)


def drop_marts(settings: Settings, names: Iterable[str], *, dbt: Dbt) -> dict[str, SluiceError]:
    """Drops marts that no model builds, and what dbt has built for them. The history of a snapshot stays.

    Args:
        settings: with the transformer's password.
        names: as ``find_removed`` has returned them.
        dbt: parses the project.

    Returns:
        The errors of the marts that cannot be dropped, by name.

    Raises:
        TransientError: the connection to the warehouse was lost, or a transform is running.
    """
    errors: dict[str, SluiceError] = {}
    with exclusive(settings, dbt.home, wait=False) as (connection, lock_fd):
        dbt.run("parse", inherit_fds=[lock_fd])
        built = {(node["schema"], node["alias"]) for node in dbt.read_manifest()["nodes"].values() if "alias" in node}
        for name in names:
            try:
                with connection.transaction():
                    connection.execute("select set_config('lock_timeout', %s, true)", (_LOCK_TIMEOUT,))
                    if mart := find_table(connection, MARTS, name):
                        _drop(connection, mart)
                    if ("staging", name) not in built and (leftover := find_table(connection, "staging", name)):
                        # Only other leftovers can depend on it.
                        _drop(connection, leftover, "cascade")
                    connection.execute("delete from staging.transform_publications where mart = %s", (name,))
            except psycopg.errors.DependentObjectsStillExist as error:
                message = f"marts.{name} was not dropped: {error.diag.message_detail}"
                errors[name] = TerminalError(message, "drop what depends on it, and run `make up` again")
            except psycopg.Error as error:
                kind = TransientError if is_transient(error) else TerminalError
                errors[name] = kind(f"marts.{name} was not dropped: {cause(error)}", "run `make up` again")
    return errors


def _drop(connection: Connection, table: Table, behaviour: LiteralString = "restrict") -> None:
    kind = sql.SQL(_KINDS.get(table.kind, "table"))
    connection.execute(sql.SQL("drop {} {} {}").format(kind, table.name, sql.SQL(behaviour)))
