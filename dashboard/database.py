"""Connections as the warehouse's reader, which cannot change anything, and rows as dataclasses."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, LiteralString, TypeVar

import psycopg
from psycopg.rows import class_row

from sluice.errors import SluiceError
from sluice.settings import Settings
from sluice.warehouse.connect import connect, refusal

Connection = psycopg.Connection[Any]
Row = TypeVar("Row")


class NotBuiltError(SluiceError):
    """A table that a page reads does not exist yet, or is still empty."""


@contextmanager
def reader_connection(settings: Settings, database: str | None = None) -> Iterator[Connection]:
    """Yields a read-only connection whose queries all see the same snapshot.

    Args:
        settings: of the platform, with the reader's password.
        database: another database of the same server; the warehouse if it is None.

    Raises:
        TransientError: Postgres is down, or the connection was lost.
        NotBuiltError: a table does not exist yet.
    """
    with connect(settings, "reader", database) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        try:
            connection.execute("set local statement_timeout = '8s'")
            yield connection
        except (psycopg.errors.UndefinedTable, psycopg.errors.InsufficientPrivilege) as error:
            raise NotBuiltError(
                f"a table is not available yet: {error.diag.message_primary}",
                "wait for the first transform, or run `make transform`",
            ) from error
        except psycopg.OperationalError as error:
            raise refusal(settings, "reader", error) from error


def fetch(
    connection: Connection, row_type: type[Row], query: LiteralString, parameters: Mapping[str, object] | None = None
) -> list[Row]:
    """Returns the query's rows as instances of a dataclass whose fields are named as the query's columns."""
    with connection.cursor(row_factory=class_row(row_type)) as cursor:
        rows: list[Row] = cursor.execute(query, parameters).fetchall()
        return rows
