"""Raw tables, one per stream: their columns follow from the contract."""

from typing import Any

import psycopg
from psycopg import sql

from sluice.contracts import Contract
from sluice.contracts.names import BY_DATE, BY_DELETION, BY_LAKE_DATE, BY_LOAD
from sluice.errors import TerminalError, TransientError
from sluice.warehouse.alterations import (
    Alteration,
    TableColumn,
    declared_columns,
    plan_alterations,
    required_columns,
)

Connection = psycopg.Connection[tuple[Any, ...]]

_COLUMNS = """
select attname, format_type(atttypid, atttypmod), not attnotnull, col_description(attrelid, attnum)
from pg_attribute
where attrelid = to_regclass(%s) and attnum > 0 and not attisdropped
order by attnum"""
_VIEWS = """
select distinct reader.oid::regclass::text
from pg_attribute
join pg_depend on refclassid = 'pg_class'::regclass and refobjid = attrelid and refobjsubid = attnum
join pg_rewrite on classid = 'pg_rewrite'::regclass and pg_rewrite.oid = objid
join pg_class reader on reader.oid = ev_class and reader.oid <> attrelid
where attrelid = to_regclass(%s) and attname = %s
order by 1"""
_HOLDERS = """
select distinct pid, usename, state, round(extract(epoch from clock_timestamp() - xact_start))::integer
from pg_locks join pg_stat_activity using (pid)
where relation = to_regclass(%s) and granted and pid <> pg_backend_pid()
order by pid"""


def create_or_alter_raw_table(connection: Connection, contract: Contract) -> list[str]:
    """Creates a stream's raw table, or changes it to what its contract declares, within a transaction.

    Returns:
        A line per change of an existing table.

    Raises:
        TerminalError: the contract cannot be applied to the table, which is unchanged.
        TransientError: another session holds a lock on the table for longer than the ``lock_timeout``.
    """
    existing = _columns(connection, contract)
    if not existing:
        _create(connection, contract)
        return []
    if not _plan(connection, contract, existing):
        return []
    try:
        with connection.transaction():
            # A lock of its own, so that a time-out is known to be one of this table.
            connection.execute(
                sql.SQL("lock table {} in access exclusive mode").format(sql.Identifier("raw", contract.table))
            )
            # Again, because a load may have added rows.
            alterations = _plan(connection, contract, existing)
            for alteration in alterations:
                for statement in alteration.statements(contract.table):
                    connection.execute(statement)
    except psycopg.errors.LockNotAvailable as error:
        raise _locked(connection, contract) from error
    except psycopg.OperationalError:
        raise
    except psycopg.Error as error:
        changes = ", ".join(alteration.text for alteration in plan_alterations(contract, existing))
        raise TerminalError(
            f"raw.{contract.table} cannot be changed ({changes}): {error}", "undo the change of the contract"
        ) from error
    return [f"raw.{contract.table}: {alteration.text}" for alteration in alterations]


def check_raw_table(connection: Connection, contract: Contract) -> None:
    """Changes nothing; raises the TerminalError of a contract that cannot be applied to its table."""
    if existing := _columns(connection, contract):
        _plan(connection, contract, existing)


def require_raw_table(connection: Connection, contract: Contract) -> None:
    """Raises a TerminalError if the raw table cannot take every event that is valid under its contract.

    The table follows the contract at the next launch; until then, no record is to blame.
    """
    existing = _columns(connection, contract)
    if not existing:
        raise TerminalError(f"raw.{contract.table} does not exist", "run `make up`, which creates it")
    alterations = [alteration for alteration in plan_alterations(contract, existing) if alteration.needed_by_loads]
    if alterations:
        changes = ", ".join(alteration.text for alteration in alterations)
        raise TerminalError(
            f"raw.{contract.table} does not have the columns of its contract yet ({changes})",
            "run `make up`, which changes the table",
        )


def create_indexes(connection: Connection, contract: Contract) -> None:
    """Creates the indexes that a raw table of an earlier version does not have."""
    if contract.deletes:
        # A staging model asks whether an event was deleted later.
        connection.execute(
            sql.SQL("create index if not exists {} on {} ({}) where _deleted").format(
                sql.Identifier(f"{contract.table}{BY_DELETION}"),
                sql.Identifier("raw", contract.table),
                sql.SQL(", ").join(map(sql.Identifier, contract.id_columns)),
            )
        )
    for suffix, definition in (
        # A reconciliation finds the rows that were loaded last.
        (BY_LOAD, "(_loaded_at)"),
        # A reload finds the rows whose event date is another one.
        (BY_LAKE_DATE, "(_lake_date) with (pages_per_range = 16)"),
    ):
        connection.execute(
            sql.SQL("create index if not exists {} on {} using brin {}").format(
                sql.Identifier(f"{contract.table}{suffix}"), sql.Identifier("raw", contract.table), sql.SQL(definition)
            )
        )


def _columns(connection: Connection, contract: Contract) -> dict[str, TableColumn]:
    rows = connection.execute(_COLUMNS, (f"raw.{contract.table}",))
    return {name: TableColumn(data_type, nullable, comment) for name, data_type, nullable, comment in rows}


def _plan(connection: Connection, contract: Contract, existing: dict[str, TableColumn]) -> list[Alteration]:
    """Returns the alterations that can be made now.

    Raises:
        TerminalError: the table has rows that an alteration has no room for, or a view reads a column.
    """
    alterations = []
    for alteration in plan_alterations(contract, existing):
        count = _count_misfits(connection, contract, alteration)
        if count and not alteration.waits:
            raise _no_room(contract, alteration, count)
        if not count:
            alterations.append(alteration)
    for alteration in alterations:
        if not alteration.changes_type:
            continue
        views = [view for (view,) in connection.execute(_VIEWS, (f"raw.{contract.table}", alteration.column))]
        if views:
            raise TerminalError(
                f"raw.{contract.table}: the type of a column cannot change ({alteration.text}) while a view reads it:"
                f" {', '.join(views)}",
                f"save the view's definition, drop {' and '.join(views)}, run `make up`, and create it again",
            )
    return alterations


def _count_misfits(connection: Connection, contract: Contract, alteration: Alteration) -> int:
    if not alteration.misfits:
        return 0
    ((count,),) = connection.execute(_misfits("count(*)", contract, alteration).encode())
    return int(count)


def _no_room(contract: Contract, alteration: Alteration, count: int) -> TerminalError:
    rows = f"{count:,} row does" if count == 1 else f"{count:,} rows do"
    return TerminalError(
        f"raw.{contract.table} cannot be changed ({alteration.text}): {rows} not fit, which"
        f' `make sql Q="{_misfits("*", contract, alteration)}"` shows',
        alteration.hint,
    )


def _misfits(columns: str, contract: Contract, alteration: Alteration) -> str:
    """Returns the query of the rows that an alteration has no room for; a person can copy it into a shell."""
    # Names of tables and columns are lower-case letters, digits and underscores.
    return " ".join(("select", columns, "from", f"raw.{contract.table}", "as t where", alteration.misfits))


def _create(connection: Connection, contract: Contract) -> None:
    table = sql.Identifier("raw", contract.table)
    required = required_columns(contract)
    columns = sql.SQL(", ").join(
        sql.SQL("{} {} {}").format(
            sql.Identifier(name), sql.SQL(data_type), sql.SQL("not null" if name in required else "null")
        )
        for name, data_type in declared_columns(contract).items()
    )
    # Vacuum summarizes the index's new ranges, which until then are read for every date. By default it would wait until
    # a fifth of the table is new.
    create = sql.SQL("create table {} ({}) with (autovacuum_vacuum_insert_scale_factor = 0.02)")
    connection.execute(create.format(table, columns))
    # Rows are loaded nearly in order of time: block ranges find a date at a thousandth of the size of a B-tree.
    connection.execute(
        sql.SQL("create index {} on {} using brin (_event_date) with (pages_per_range = 16)").format(
            sql.Identifier(f"{contract.table}{BY_DATE}"), table
        )
    )


def _locked(connection: Connection, contract: Contract) -> TransientError:
    holders = connection.execute(_HOLDERS, (f"raw.{contract.table}",)).fetchall()
    sessions = ", ".join(f"pid {pid} ({user}, {state} for {seconds} s)" for pid, user, state, seconds in holders)
    return TransientError(
        f"raw.{contract.table} cannot be changed: it is locked by {sessions or 'a session that has ended meanwhile'}",
        "end that session, for instance with `select pg_terminate_backend(pid)`, and run `make up` again",
    )
