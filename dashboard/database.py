"""Few, reused connections as the warehouse's reader, which cannot change anything, and rows as dataclasses."""

import os
import socket
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, LiteralString, TypeVar

import psycopg
from psycopg.rows import class_row

from sluice.errors import SluiceError, TerminalError, TransientError
from sluice.settings import Settings
from sluice.warehouse.connect import connect, refusal
from sluice.warehouse.values import load_odd_times_as_text

Connection = psycopg.Connection[Any]
Row = TypeVar("Row")

SIZE = 4
"""Connections to a database at the same time. Further pages wait for one."""
WAIT_SECONDS = 2.0
"""How long a page waits for a connection."""
BEGIN_SECONDS = 3.0
"""How long Postgres may take to begin a transaction."""
PAGE_SECONDS = 12.0
"""How long all queries of a page may take. Postgres itself ends a single statement after eight seconds."""


class NotBuiltError(SluiceError):
    """A table that a page reads does not exist yet, or is still empty."""


class Reader:
    """A pool of read-only connections to one database. Several threads may use it at the same time."""

    def __init__(self, settings: Settings, database: str | None = None) -> None:
        """Creates a pool without any connection.

        Args:
            settings: of the platform, with the reader's password.
            database: another database of the same server; the warehouse if it is None.
        """
        self._settings = settings
        self._database = database
        self._slots = threading.BoundedSemaphore(SIZE)
        self._idle: deque[Connection] = deque()

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """Yields a connection whose queries all see the same snapshot.

        Raises:
            TransientError: Postgres is down, answers too slowly, or the connection was lost.
            NotBuiltError: a table does not exist yet.
            TerminalError: Postgres rejects a query.
        """
        if not self._slots.acquire(timeout=WAIT_SECONDS):
            raise TransientError(f"all {SIZE} connections to Postgres are busy", "wait, or see `make logs S=postgres`")
        try:
            connection = self._reuse() or self._open()
            try:
                with self._time_limit(connection, PAGE_SECONDS):
                    yield connection
                    connection.rollback()
            except BaseException:
                # In an unknown state.
                connection.close()
                raise
            self._idle.append(connection)
        except (psycopg.errors.UndefinedTable, psycopg.errors.InsufficientPrivilege) as error:
            raise NotBuiltError(
                f"a table is not available yet: {error.diag.message_primary}",
                "wait for the first transform, or run `make transform`",
            ) from error
        except psycopg.OperationalError as error:
            raise refusal(self._settings, "reader", error, self._database) from error
        except psycopg.Error as error:
            raise TerminalError(
                f"Postgres rejects a query of this page: {error}", "see `make logs S=dashboard`"
            ) from error
        finally:
            self._slots.release()

    def close(self) -> None:
        """Closes the connections that no page uses."""
        while self._idle:
            with suppress(IndexError):
                self._idle.pop().close()

    def _reuse(self) -> Connection | None:
        """Returns an idle connection in a new transaction; None if there is none that works."""
        try:
            connection = self._idle.pop()
        except IndexError:
            return None
        try:
            self._begin(connection)
        except psycopg.OperationalError:
            # Postgres was restarted: no idle connection has survived.
            connection.close()
            self.close()
            return None
        except TransientError:
            connection.close()
            raise
        return connection

    def _open(self) -> Connection:
        connection: Connection = connect(self._settings, "reader", self._database)
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        # A transform replaces tables, and with them the types that a prepared statement returns.
        connection.prepare_threshold = None
        load_odd_times_as_text(connection)
        try:
            self._begin(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _begin(self, connection: Connection) -> None:
        with self._time_limit(connection, BEGIN_SECONDS):
            connection.execute("set local statement_timeout = '8s'")

    @contextmanager
    def _time_limit(self, connection: Connection, seconds: float) -> Iterator[None]:
        """Cuts the connection after some time: a server that hangs would never end a statement itself.

        Raises:
            TransientError: the time is over.
        """
        expired = threading.Event()
        # A second descriptor of the socket: shutting it down wakes the thread that waits for the server.
        with socket.socket(fileno=os.dup(connection.fileno())) as duplicate:

            def cut() -> None:
                expired.set()
                with suppress(OSError):
                    duplicate.shutdown(socket.SHUT_RDWR)

            timer = threading.Timer(seconds, cut)
            timer.daemon = True
            timer.start()
            try:
                yield
            except psycopg.OperationalError as error:
                if not expired.is_set():
                    raise
                late = TimeoutError(f"has not answered within {seconds:.0f} s")
                raise refusal(self._settings, "reader", late, self._database) from error
            finally:
                timer.cancel()


def fetch(
    connection: Connection, row_type: type[Row], query: LiteralString, parameters: Mapping[str, object] | None = None
) -> list[Row]:
    """Returns the query's rows as instances of a dataclass whose fields are named as the query's columns."""
    with connection.cursor(row_factory=class_row(row_type)) as cursor:
        rows: list[Row] = cursor.execute(query, parameters).fetchall()
        return rows
