"""Checksums of the warehouse's tables per date: equal ones mean equal rows, whatever their order."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import cast

import psycopg
from psycopg import sql

from sluice.contracts import Contract
from sluice.warehouse.schema import PLACE_COLUMNS

LOADED_AT = "_loaded_at"
"""When a raw row came, which loading it again changes; no checksum covers it."""

Connection = psycopg.Connection[tuple[object, ...]]


@dataclass(frozen=True)
class Checksum:
    """Rows, and the sum of their 64-bit hashes as a decimal number."""

    rows: int
    hash: str


def raw(connection: Connection, contract: Contract, first: date, last: date) -> dict[date, Checksum]:
    """Checksums of a stream's raw table per event date, both ends included; dates without rows are left out.

    Covers the contract's columns and each row's place in Kafka.
    """
    columns = [column.name for column in contract.columns] + [name for name in PLACE_COLUMNS if name != LOADED_AT]
    table = sql.Identifier("raw", contract.table)
    return cast(
        "dict[date, Checksum]", _by_date(connection, table, columns, sql.Identifier("_event_date"), first, last)
    )


def marts(connection: Connection, first: date, last: date) -> dict[str, dict[date | None, Checksum]]:
    """Checksums of every table of the marts per date, both ends included; dates without rows are left out.

    A table's date is its first column of type date, or else the UTC date of its first timestamp. A table without
    either, as a dimension, has one checksum, under None. The order of the columns does not matter.
    """
    found: dict[str, dict[date | None, Checksum]] = {}
    for table, columns in _columns(connection).items():
        found[table] = _by_date(
            connection, sql.Identifier("marts", table), sorted(columns), _date_of(columns), first, last
        )
    return found


def _columns(connection: Connection) -> dict[str, dict[str, str]]:
    """The type of each column of each table and view of the marts, in the tables' order."""
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
        # Timestamps as text, and so their hashes, depend on it.
        connection.execute("set local timezone to 'UTC'")
        return {
            cast("date | None", key): Checksum(int(str(rows)), str(hashes))
            for key, rows, hashes in connection.execute(query, (first, last))
        }
