"""Copies Arrow rows into a Postgres table: binary COPY, encoded by pgpq, or CSV where a type needs Postgres' parser."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.csv
from pgpq import ArrowToPostgresBinaryEncoder
from psycopg import sql

_ROWS = 16_384
"""Rows that are encoded at once: a few megabytes."""
AS_TEXT = {b"postgres": b"text"}
"""The metadata of an Arrow field of strings that holds the text of another Postgres type."""


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
    as_text = any(AS_TEXT.items() <= (field.metadata or {}).items() for field in rows.schema)
    # A csv has no quotes around null, and quotes around every text.
    form = sql.SQL("csv" if as_text else "binary")
    statement = sql.SQL("copy {} ({}) from stdin (format {})").format(table, columns, form)
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for block in _csv(rows) if as_text else _binary(rows):
            copy.write(block)


def _binary(rows: pa.Table) -> Iterator[bytes]:
    encoder = ArrowToPostgresBinaryEncoder(rows.schema)
    yield encoder.write_header()
    for batch in rows.to_batches(max_chunksize=_ROWS):
        yield encoder.write_batch(batch)
    yield encoder.finish()


def _csv(rows: pa.Table) -> Iterator[bytes]:
    options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="needed")
    for batch in rows.to_batches(max_chunksize=_ROWS):
        sink = pa.BufferOutputStream()
        pyarrow.csv.write_csv(batch, sink, options)
        yield sink.getvalue().to_pybytes()
