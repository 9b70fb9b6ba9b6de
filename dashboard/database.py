"""Connections as the warehouse's reader, which can change nothing."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from dashboard.queries import Connection
from sluice.errors import SluiceError
from sluice.settings import Settings
from sluice.warehouse.connect import connect, refusal


class NotBuiltError(SluiceError):
    """A table that a page reads is not there yet."""


@contextmanager
def reading(settings: Settings, database: str | None = None) -> Iterator[Connection]:
    """A connection whose queries all see the same moment.

    Raises:
        TransientError: Postgres does not answer, or stopped answering.
        NotBuiltError: a table is not there yet.
    """
    with connect(settings, "reader", database) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        try:
            connection.execute("set local statement_timeout = '8s'")
            yield connection
        except (psycopg.errors.UndefinedTable, psycopg.errors.InsufficientPrivilege) as error:
            raise NotBuiltError(
                f"a table is not there yet ({error.diag.message_primary})", "the first transform makes it"
            ) from error
        except psycopg.OperationalError as error:
            raise refusal(settings, "reader", error) from error
