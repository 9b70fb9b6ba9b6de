"""Copies Arrow rows into a Postgres table: binary COPY, encoded by pgpq."""

from typing import Any

import psycopg
import pyarrow as pa
from pgpq import ArrowToPostgresBinaryEncoder
from psycopg import sql

_ROWS = 16_384
"""Rows that are encoded at once: a few megabytes."""


def copy_rows(connection: "psycopg.Connection[Any]", table: sql.Identifier, rows: pa.Table) -> None:
    """Appends rows to a table, within the connection's transaction.

    Args:
        connection: of a role that may insert.
        table: the target.
        rows: columns with the table's names and types; the table's other columns get their defaults.

    Raises:
        psycopg.Error: the server rejects the rows, or the connection was lost.
    """
    if not rows.num_rows:
        return
    columns = sql.SQL(", ").join(map(sql.Identifier, rows.column_names))
    statement = sql.SQL("copy {} ({}) from stdin (format binary)").format(table, columns)
    encoder = ArrowToPostgresBinaryEncoder(rows.schema)
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(encoder.write_header())
        for batch in rows.to_batches(max_chunksize=_ROWS):
            copy.write(encoder.write_batch(batch))
        copy.write(encoder.finish())
