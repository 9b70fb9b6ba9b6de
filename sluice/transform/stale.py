"""Stale partitions: event dates that loads have changed and the marts do not show yet (``ops.stale_dates``).

Before a run, its plan is written for dbt: the run's name and the dates that it rebuilds. dbt publishes no other plan.
"""

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
_TABLES = """
create table if not exists staging.transform_run (run text primary key);
create table if not exists staging.stale_partitions (
    seq bigint primary key, stream text not null, event_date date not null
)"""
"""Created here, not with the rest of the warehouse, because the transformer owns the schema ``staging``."""


@contextmanager
def postgres_errors() -> Iterator[None]:
    """Turns a lost connection or a lock timeout into a TransientError."""
    try:
        yield
    except psycopg.OperationalError as error:
        raise TransientError(f"connection to the warehouse lost: {error}", "see `make logs S=postgres`") from error


def is_stale(settings: Settings, role: Role, stream: str) -> bool:
    """Returns whether a stream has stale dates.

    Raises:
        TransientError: the warehouse is down.
    """
    with postgres_errors(), connect(settings, role) as connection:
        query = "select exists (select from ops.stale_dates where built_at is null and stream = %s)"
        row = connection.execute(query, (stream,)).fetchone()
    return row is not None and bool(row[0])


def write_plan(connection: Connection, run: str) -> dict[str, list[date]]:
    """Writes the plan of a run: all stale dates.

    When dbt publishes the marts, it empties the plan and marks its dates as built in the same transaction. A date that
    a load changes in the meantime stays stale, because dbt may not have read the change.

    Args:
        connection: of the transformer, holding the lock that ``lock`` takes.
        run: name of the run; dbt publishes the plan only if it was started under the same name.

    Returns:
        The dates per stream, sorted; a date that was changed twice is listed once.
    """
    with postgres_errors(), connection.transaction():
        connection.execute(_TABLES)
        # Waits if Postgres is still publishing for a dbt that was killed.
        connection.execute("lock table staging.transform_run, staging.stale_partitions in access exclusive mode")
        connection.execute("truncate staging.transform_run, staging.stale_partitions")
        connection.execute("insert into staging.transform_run values (%s)", (run,))
        connection.execute(
            "insert into staging.stale_partitions"
            " select seq, stream, event_date from ops.stale_dates where built_at is null"
        )
        return _dates(connection)


def read_plan(connection: Connection, run: str) -> dict[str, list[date]] | None:
    """Returns the plan of a run as dates per stream; None if it has no plan, or if some of its dates were built."""
    with postgres_errors():
        connection.execute(_TABLES)
        if not connection.execute("select 1 from staging.transform_run where run = %s", (run,)).fetchone():
            return None
        built = connection.execute(
            "select seq, stream, event_date from staging.stale_partitions except"
            " select seq, stream, event_date from ops.stale_dates where built_at is null limit 1"
        ).fetchone()
        return None if built else _dates(connection)


def _dates(connection: Connection) -> dict[str, list[date]]:
    query = (
        "select stream, array_agg(distinct event_date order by event_date)"
        " from staging.stale_partitions group by stream order by stream"
    )
    return dict(connection.execute(query).fetchall())  # type: ignore[arg-type]


def lock(connection: Connection, patience: timedelta) -> bool:
    """Takes the lock that allows one transform at a time; the lock lasts until the connection is closed.

    Returns:
        Whether this had to wait for another transform.

    Raises:
        TransientError: another transform held the lock for longer than ``patience``.
    """
    with postgres_errors():
        row = connection.execute("select pg_try_advisory_lock(hashtextextended(%s, 0))", (_LOCK,)).fetchone()
    if row is not None and row[0]:
        return False
    try:
        with postgres_errors():
            connection.execute("select set_config('lock_timeout', %s, false)", (f"{patience.total_seconds():.0f}s",))
            connection.execute("select pg_advisory_lock(hashtextextended(%s, 0))", (_LOCK,))
    except TransientError as error:
        if isinstance(error.__cause__, psycopg.errors.LockNotAvailable):
            raise TransientError(f"another transform has been running for {patience}", "wait for it to end") from None
        raise
    return True
