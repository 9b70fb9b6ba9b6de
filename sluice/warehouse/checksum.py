"""Checksums of warehouse tables per date: equal checksums mean equal rows, in any order and in any engine.

A row's text has, for each column in the order of the names, the length of the value's text in bytes, a colon, and that
text; a null has the colon alone. A value's text is its usual one, in UTC for times; a floating-point number's is its
eight bytes (IEEE 754, big-endian) in hexadecimal, and a decimal's has no zeros at the end of its fraction. A row's hash
is the first 15 hexadecimal digits of the MD5 of its text, as a number: 60 bits, which every engine can add.
``sluice.lakehouse.spark.checksum`` computes the same in Spark.
"""

from collections.abc import Mapping
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
    """The number of rows, and the sum of their 60-bit hashes as a decimal number."""

    rows: int
    hash: str


def raw(connection: Connection, contract: Contract, first: date, last: date) -> dict[date, Checksum]:
    """Returns checksums of a stream's raw table per event date, both ends included; dates without rows are left out.

    They cover the contract's columns and each row's Kafka metadata.
    """
    columns = {name: kind for name, kind in declared_columns(contract).items() if name != LOADED_AT}
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
    for table, columns in marts_columns(connection).items():
        checksums[table] = _by_date(connection, sql.Identifier("marts", table), columns, _date_of(columns), first, last)
    return checksums


def marts_columns(connection: Connection) -> dict[str, dict[str, str]]:
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


def _date_of(columns: Mapping[str, str]) -> sql.Composable:
    for name, kind in columns.items():
        if kind == "date":
            return sql.Identifier(name)
    for name, kind in columns.items():
        if kind == "timestamp with time zone":
            return sql.SQL("cast({} at time zone 'UTC' as date)").format(sql.Identifier(name))
    return sql.SQL("cast(null as date)")


def _by_date(
    connection: Connection,
    table: sql.Identifier,
    columns: Mapping[str, str],
    day: sql.Composable,
    first: date,
    last: date,
) -> dict[date | None, Checksum]:
    query = sql.SQL(
        "select {day}, count(*), sum(cast(cast('x' || left(md5({row}), 15) as bit(60)) as bigint)) from {table}"
        " where {day} between %s and %s or {day} is null group by 1"
    ).format(day=day, row=_row_text(columns), table=table)
    with connection.transaction():
        # The text of times, and so their hashes, depend on these.
        connection.execute("set local timezone to 'UTC'")
        connection.execute("set local datestyle to 'ISO'")
        return {
            cast("date | None", key): Checksum(int(str(rows)), str(hashes))
            for key, rows, hashes in connection.execute(query, (first, last))
        }


def _row_text(columns: Mapping[str, str]) -> sql.Composable:
    """Returns an expression for the text of a row. ``concat`` leaves nulls out."""
    values = [
        sql.SQL("concat(octet_length({text}), ':', {text})").format(
            text=_value_text(sql.Identifier(name), columns[name])
        )
        for name in sorted(columns)
    ]
    return sql.SQL(" || ").join(values) if values else sql.SQL("''")


def _value_text(column: sql.Identifier, kind: str) -> sql.Composable:
    if kind in ("double precision", "real"):
        return sql.SQL("encode(float8send({}), 'hex')").format(column)
    if kind.startswith("numeric") and not kind.endswith("[]"):
        return sql.SQL("cast(trim_scale({}) as text)").format(column)
    return sql.SQL("cast({} as text)").format(column)
