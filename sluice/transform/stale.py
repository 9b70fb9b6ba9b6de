"""The dates that loads have touched and the marts have not been built from yet (``ops.touched_dates``)."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta

import psycopg

from sluice.errors import TransientError
from sluice.settings import Settings
from sluice.warehouse import connect
from sluice.warehouse.connect import Role

Connection = psycopg.Connection[tuple[object, ...]]

_LOCK = "sluice.transform"
_TABLE = """create table if not exists staging.touched_dates (
    seq bigint primary key, stream text not null, event_date date not null
)"""
"""Made here, not with the rest of the warehouse: the transformer owns the schema, and may begin anew without it."""


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


def plan(connection: Connection) -> dict[str, list[date]]:
    """Says to dbt, in ``staging.touched_dates``, that the next run is of every touched date that is not built yet.

    dbt empties that table when it publishes the marts, and marks what it held as built, in one transaction. Dates that
    loads touch meanwhile are not in it, and stay pending: dbt may not have seen them.

    Returns:
        The dates per stream, sorted; a date touched twice is built once.
    """
    with faults(), connection.transaction():
        connection.execute(_TABLE)
        # Waits for a publication whose dbt was killed while Postgres was at it.
        connection.execute("lock table staging.touched_dates in access exclusive mode")
        connection.execute("truncate staging.touched_dates")
        connection.execute(
            "insert into staging.touched_dates"
            " select seq, stream, event_date from ops.touched_dates where built_at is null"
        )
        return _planned(connection)


def planned(connection: Connection) -> dict[str, list[date]] | None:
    """What the last plan says, if all of it is still to be built: the dates per stream."""
    with faults():
        connection.execute(_TABLE)
        gone = connection.execute(
            "select seq, stream, event_date from staging.touched_dates except"
            " select seq, stream, event_date from ops.touched_dates where built_at is null limit 1"
        ).fetchone()
        return None if gone else _planned(connection)


def _planned(connection: Connection) -> dict[str, list[date]]:
    query = (
        "select stream, array_agg(distinct event_date order by event_date)"
        " from staging.touched_dates group by stream order by stream"
    )
    return dict(connection.execute(query).fetchall())  # type: ignore[arg-type]


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
