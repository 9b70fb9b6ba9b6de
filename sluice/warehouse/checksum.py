"""Checksums of warehouse tables per date: equal checksums mean equal rows, in any order."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import cast

import psycopg
from psycopg import sql

from sluice.contracts import Contract
from sluice.warehouse.alterations import declared_columns

LOADED_AT = "_loaded_at"
"""When a raw row was loaded. A reload changes it, so no checksum covers it."""

Connection = psycopg.Connection[tuple[object, ...]]


@dataclass(frozen=True)
class Checksum:
    """The number of rows, and the sum of their 64-bit hashes as a decimal number."""

    rows: int
    hash: str


def raw(connection: Connection, contract: Contract, first: date, last: date) -> dict[date, Checksum]:
    """Returns checksums of a stream's raw table per event date, both ends included; dates without rows are left out.

    They cover the contract's columns and each row's Kafka metadata.
    """
    columns = [name for name in declared_columns(contract) if name != LOADED_AT]
    table = sql.Identifier("raw", contract.table)
    return cast(
        "dict[date, Checksum]", _by_date(connection, table, columns, sql.Identifier("_event_date"), first, last)
    )


def marts(connection: Connection, first: date, last: date) -> dict[str, dict[date | None, Checksum]]:
    """Returns checksums of every marts table per date, both ends included; dates without rows are left out.

    A table's date is its first column of type date, or else the UTC date of its first timestamp. A table without
    either, such as a dimension, has one checksum, under None. The order of columns does not matter.
    """
    checksums: dict[str, dict[date | None, Checksum]] = {}
    for table, columns in _columns(connection).items():
        checksums[table] = _by_date(
            connection, sql.Identifier("marts", table), sorted(columns), _date_of(columns), first, last
        )
    return checksums


def _columns(connection: Connection) -> dict[str, dict[str, str]]:
    """Returns the columns of each marts table and view with their types, in the table's order."""
    tables: dict[str, dict[str, str]] = {}
    for table, column, kind in connection.execute(
        "select relname, attname, format_type(atttypid, null)"
        " from pg_class join pg_attribute on attrelid = pg_class.oid"
        " where relnamespace = to_regnamespace('marts') and relkind in ('r', 'p', 'v', 'm')"
        " and attnum > 0 and not attisdropped order by relname, attnum"
    ):
        tables.setdefault(str(table), {})[str(column)] = str(kind)
    return tables


def _date_of(columns: dict[str, str]) -> sql.Composable:
    for name, kind in columns.items():
        if kind == "date":
            return sql.Identifier(name)
    for name, kind in columns.items():
        if kind == "timestamp with time zone":
            return sql.SQL("cast({} at time zone 'UTC' as date)").format(sql.Identifier(name))
    return sql.SQL("cast(null as date)")


def _by_date(
    connection: Connection, table: sql.Identifier, columns: Iterable[str], day: sql.Composable, first: date, last: date
) -> dict[date | None, Checksum]:
    query = sql.SQL(
        "select {day}, count(*), sum(hashtextextended(cast(row({columns}) as text), 0)) from {table}"
        " where {day} between %s and %s or {day} is null group by 1"
    ).format(day=day, columns=sql.SQL(", ").join(map(sql.Identifier, columns)), table=table)
    with connection.transaction():
        # The text form of timestamps, and so their hashes, depend on it.
        connection.execute("set local timezone to 'UTC'")
        return {
            cast("date | None", key): Checksum(int(str(rows)), str(hashes))
            for key, rows, hashes in connection.execute(query, (first, last))
        }
