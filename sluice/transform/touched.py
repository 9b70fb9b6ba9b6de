"""The dates that loads have touched and the marts have not been built from yet (``ops.touched_dates``)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta

import psycopg

from sluice.errors import TransientError
from sluice.settings import Settings
from sluice.warehouse import connect
from sluice.warehouse.connect import Role

Connection = psycopg.Connection[tuple[object, ...]]

_LOCK = "sluice.transform"


@contextmanager
def faults() -> Iterator[None]:
    """Turns a lost connection or a lock's time-out into a TransientError."""
    try:
        yield
    except psycopg.OperationalError as error:
        raise TransientError(f"the warehouse, for a transform: {error}", "see `make logs S=postgres`") from error


def is_pending(settings: Settings, role: Role, stream: str) -> bool:
    """Whether a stream has touched dates that the marts have not been built from.

    Raises:
        TransientError: the warehouse does not answer.
    """
    with faults(), connect(settings, role) as connection:
        query = "select exists (select from ops.touched_dates where built_at is null and stream = %s)"
        row = connection.execute(query, (stream,)).fetchone()
    return row is not None and bool(row[0])


def pending(connection: Connection) -> list[tuple[int, str, date]]:
    """Every touched date that is not built yet, as (seq, stream, event date), in the order of seq."""
    query = "select seq, stream, event_date from ops.touched_dates where built_at is null order by seq"
    with faults():
        return connection.execute(query).fetchall()  # type: ignore[return-value]


def all_pending(connection: Connection, seqs: Sequence[int]) -> bool:
    """Whether none of these rows has been built yet."""
    query = "select count(*) from ops.touched_dates where built_at is null and seq = any(%s)"
    with faults():
        row = connection.execute(query, (list(seqs),)).fetchone()
    return row is not None and row[0] == len(seqs)


def mark_built(connection: Connection, seqs: Sequence[int]) -> None:
    """Marks exactly these rows as built. Rows that loads added meanwhile stay pending: dbt may not have seen them."""
    with faults():
        connection.execute(
            "update ops.touched_dates set built_at = now() where built_at is null and seq = any(%s)", (list(seqs),)
        )


def lock(connection: Connection, patience: timedelta) -> bool:
    """Takes the lock that lets one transform build at a time; it is held until the connection ends.

    Returns:
        Whether it had to wait for another transform.

    Raises:
        TransientError: the other one went on for longer than ``patience``.
    """
    with faults():
        row = connection.execute("select pg_try_advisory_lock(hashtextextended(%s, 0))", (_LOCK,)).fetchone()
    if row is not None and row[0]:
        return False
    try:
        with faults():
            connection.execute("select set_config('lock_timeout', %s, false)", (f"{patience.total_seconds():.0f}s",))
            connection.execute("select pg_advisory_lock(hashtextextended(%s, 0))", (_LOCK,))
    except TransientError as error:
        if isinstance(error.__cause__, psycopg.errors.LockNotAvailable):
            raise TransientError(f"another transform has been building for {patience}", "let it end") from None
        raise
    return True
