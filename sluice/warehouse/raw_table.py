"""Raw tables, one per stream: their columns follow from the contract."""

import psycopg
from psycopg import sql

from sluice.contracts import Contract
from sluice.errors import TerminalError

SQL_TYPES = {
    "string": "text",
    "boolean": "boolean",
    "int32": "integer",
    "int64": "bigint",
    "float64": "double precision",
    "date": "date",
    "timestamp": "timestamp with time zone",
}
"""The Postgres name of each contract type, as information_schema spells it."""

METADATA_COLUMNS = {
    "_event_date": "date",
    "_topic_id": "text",
    "_partition": "integer",
    "_offset": "bigint",
    "_timestamp": "timestamp with time zone",
    "_loaded_at": "timestamp with time zone",
}
"""Columns of every raw table besides the contract's: where a row comes from, and when it was loaded."""


def create_or_alter_raw_table(connection: "psycopg.Connection[tuple[object, ...]]", contract: Contract) -> None:
    """Creates a stream's raw table, or adds new columns of its contract and drops not-null constraints that it lifted.

    Raises:
        TerminalError: a column's type differs from the contract's.
    """
    declared = {column.name: SQL_TYPES[column.type] for column in contract.columns} | METADATA_COLUMNS
    required = {column.name for column in contract.columns if not column.nullable} | {
        name for name in METADATA_COLUMNS if name != "_timestamp"
    }
    table = sql.Identifier("raw", contract.table)
    existing = {
        str(name): (str(data_type), nullable == "YES")
        for name, data_type, nullable in connection.execute(
            "select column_name, data_type, is_nullable from information_schema.columns"
            " where table_schema = 'raw' and table_name = %s",
            (contract.table,),
        )
    }
    if not existing:
        columns = sql.SQL(", ").join(
            sql.SQL("{} {} {}").format(
                sql.Identifier(name), sql.SQL(data_type), sql.SQL("not null" if name in required else "null")
            )
            for name, data_type in declared.items()
        )
        # Vacuum summarizes the index's new ranges, which until then are read for every date. By default it would wait
        # until a fifth of the table is new.
        create = sql.SQL("create table {} ({}) with (autovacuum_vacuum_insert_scale_factor = 0.02)")
        connection.execute(create.format(table, columns))
        # Rows are loaded nearly in order of time: block ranges find a date at a thousandth of the size of a B-tree.
        connection.execute(
            sql.SQL("create index {} on {} using brin (_event_date) with (pages_per_range = 16)").format(
                sql.Identifier(f"{contract.table}_by_date"), table
            )
        )
        return
    for name, data_type in declared.items():
        if name not in existing:
            connection.execute(
                sql.SQL("alter table {} add column {} {}").format(table, sql.Identifier(name), sql.SQL(data_type))
            )
        elif existing[name][0] != data_type:
            raise TerminalError(
                f"raw.{contract.table}.{name} has type {existing[name][0]}, but its contract declares {data_type}",
                "declare a new column for the new type; the lake keeps the old events",
            )
        elif name not in required and not existing[name][1]:
            connection.execute(
                sql.SQL("alter table {} alter column {} drop not null").format(table, sql.Identifier(name))
            )


def index_by_load(connection: "psycopg.Connection[tuple[object, ...]]", contract: Contract) -> None:
    """Creates the index by which a reconciliation finds the rows that were loaded last, if it does not exist."""
    connection.execute(
        sql.SQL("create index if not exists {} on {} using brin (_loaded_at)").format(
            sql.Identifier(f"{contract.table}_by_load"), sql.Identifier("raw", contract.table)
        )
    )
