"""Stale partitions: event dates that loads have changed and the marts do not show yet (``ops.stale_dates``).

Before a run, its plan is written for dbt: the run's name and the dates that it rebuilds. Publishing marks them as
built.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, timedelta

import psycopg
from psycopg import sql

from sluice.contracts.names import table_name
from sluice.errors import TerminalError, TransientError
from sluice.settings import Settings
from sluice.warehouse import connect
from sluice.warehouse.connect import Role
from sluice.warehouse.failures import cause, is_transient

Connection = psycopg.Connection[tuple[object, ...]]

_LOCK = "sluice.transform"
_TABLES = """
create table if not exists staging.transform_run (run text primary key);
create table if not exists staging.stale_partitions (
    seq bigint primary key, stream text not null, event_date date not null
);
create table if not exists staging.transform_stale_rows (model text primary key, predicate text not null);
create table if not exists staging.transform_outcome (run text primary key, outcome text not null);
create table if not exists staging.transform_whole (model text primary key);
create table if not exists staging.transform_seeds (digest text primary key);
create table if not exists staging.transform_project (digest text not null, manifest text not null);
alter table staging.transform_project add column if not exists files bytea;
create table if not exists staging.transform_publications (
    mart text primary key, built_as oid, published_as oid, refused text
);
create table if not exists staging.transform_last (
    run text not null, ended_at timestamptz not null default clock_timestamp(), result text not null
);
alter table staging.transform_publications add column if not exists removed boolean not null default false"""
"""Created here, not with the rest of the warehouse, because the transformer owns the schema ``staging``.

``transform_stale_rows`` has the rows of each model that the run rebuilds, as a predicate. ``transform_outcome`` has
what dbt has built for the plan; another plan removes it. ``transform_publications`` has the tables between which each
mart was last published, why it was not, or that no model builds it any more.
``transform_whole`` has the models of which the next run rebuilds all rows, until it has. ``transform_project`` has the
project as it was last built: its files, a digest of them, and dbt's manifest. ``transform_seeds`` has a digest of the
files from which the seeds were built. ``transform_last`` has the last run that built anything, and what.
"""
_COUNT_DUPLICATES = sql.SQL("""
update ops.dates as known set duplicates = (
    select count(*) from {raw} as loaded
    where loaded._event_date = known.event_date and not exists (
        select from {staging} as kept
        where kept._event_date = loaded._event_date
            and (kept._topic_id, kept._partition, kept._offset)
            = (loaded._topic_id, loaded._partition, loaded._offset)
    )
)
where stream = %s and event_date = any(%s)""")


@contextmanager
def postgres_errors() -> Iterator[None]:
    """Turns Postgres's errors into a TransientError, if a retry can help, or a TerminalError."""
    try:
        yield
    except psycopg.Error as error:
        if is_transient(error):
            raise TransientError(f"Postgres, in a transform: {cause(error)}", "see `make logs S=postgres`") from error
        raise TerminalError(f"Postgres, in a transform: {cause(error)}", "fix the cause in the warehouse") from error


def is_stale(settings: Settings, role: Role, stream: str) -> bool:
    """Returns whether a stream has stale dates.

    Raises:
        TransientError: the warehouse is down.
    """
    with postgres_errors(), connect(settings, role) as connection:
        query = "select exists (select from ops.stale_dates where built_at is null and stream = %s)"
        row = connection.execute(query, (stream,)).fetchone()
    return row is not None and bool(row[0])


def create_tables(connection: Connection) -> None:
    """Creates the tables in which transforms keep their plan and what they have built. Idempotent."""
    with postgres_errors(), connection.transaction():
        # They are there nearly always, and the notices of `if not exists` would fill the log.
        connection.execute("set local client_min_messages = warning")
        connection.execute(_TABLES)


def record_last_run(connection: Connection, run: str, result: str) -> None:
    """Records the run that was the last to build and publish anything, with its result in a few words."""
    with postgres_errors(), connection.transaction():
        connection.execute("delete from staging.transform_last")
        connection.execute("insert into staging.transform_last (run, result) values (%s, %s)", (run, result))


def last_run(connection: Connection) -> str | None:
    """Returns the run that was the last to build anything, when it ended and what it built; None if none has."""
    query = (
        "select run, to_char(ended_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS'), result from staging.transform_last"
    )
    with postgres_errors():
        row = connection.execute(query).fetchone()
    return f"{row[0]}, which ended at {row[1]} UTC, {row[2]}" if row else None


def mark_whole(connection: Connection, models: Iterable[str]) -> list[str]:
    """Marks models, by dbt's ids, for rebuilding all of their rows; returns those that were not marked before, sorted.

    The marks stay until a transform has built the models.
    """
    query = "insert into staging.transform_whole select unnest(%s::text[]) on conflict do nothing returning model"
    with postgres_errors():
        return sorted(str(model) for (model,) in connection.execute(query, (list(models),)).fetchall())


def read_whole(connection: Connection) -> list[str]:
    """Returns the models that are marked for rebuilding all of their rows."""
    with postgres_errors():
        rows = connection.execute("select model from staging.transform_whole order by model").fetchall()
        return [str(model) for (model,) in rows]


def write_plan(connection: Connection, run: str) -> dict[str, list[date]]:
    """Writes the plan of a run: all stale dates.

    The transaction that publishes the marts empties the plan and marks its dates as built. A date that a load changes
    in the meantime stays stale, because dbt may not have read the change.

    Args:
        connection: of the transformer, holding the lock that ``lock`` takes.
        run: name of the run; only a retry of the same run resumes the plan.

    Returns:
        The dates per stream, sorted; a date that was changed twice is listed once.
    """
    create_tables(connection)
    with postgres_errors(), connection.transaction():
        connection.execute("truncate staging.transform_run, staging.stale_partitions, staging.transform_stale_rows")
        connection.execute("insert into staging.transform_run values (%s)", (run,))
        connection.execute(
            "insert into staging.stale_partitions"
            " select seq, stream, event_date from ops.stale_dates where built_at is null"
        )
        dates = _dates(connection)
        if dates:
            connection.execute("truncate staging.transform_outcome")
        return dates


def read_plan(connection: Connection, run: str) -> dict[str, list[date]] | None:
    """Returns the plan of a run as dates per stream; None if it has no plan, or if some of its dates were built."""
    create_tables(connection)
    with postgres_errors():
        if not connection.execute("select 1 from staging.transform_run where run = %s", (run,)).fetchone():
            return None
        built = connection.execute(
            "select seq, stream, event_date from staging.stale_partitions except"
            " select seq, stream, event_date from ops.stale_dates where built_at is null limit 1"
        ).fetchone()
        return None if built else _dates(connection)


def mark_built(
    connection: Connection, staging: Mapping[str, tuple[str, str]], work_lists: Iterable[tuple[str, str]]
) -> None:
    """Marks the plan's dates as built and empties the plan, within a transaction.

    Also records the number of duplicates of each date: rows that staging left out because another event with the same
    id counts. Rows that loads have added since are not counted; their date is stale again.

    Args:
        connection: of the transformer, in the transaction that publishes the marts.
        staging: schema and relation of each staging model, by the raw table's name.
        work_lists: schema and relation of the models that list what to rebuild.
    """
    for stream, days in _dates(connection).items():
        table = table_name(stream)
        if table in staging:
            _count_duplicates(connection, stream, days, table, staging[table])
        connection.execute(
            "update ops.dates set built_at = now() where stream = %s and event_date = any(%s)", (stream, days)
        )
    connection.execute(
        "update ops.stale_dates set built_at = now()"
        " where built_at is null and seq = any(array(select seq from staging.stale_partitions))"
    )
    plan = [("staging", "transform_run"), ("staging", "stale_partitions"), ("staging", "transform_stale_rows")]
    emptied = sql.SQL(", ").join(sql.Identifier(*relation) for relation in (*work_lists, *plan))
    connection.execute(sql.SQL("truncate {}").format(emptied))


def _count_duplicates(
    connection: Connection, stream: str, days: list[date], table: str, staging: tuple[str, str]
) -> None:
    count = _COUNT_DUPLICATES.format(raw=sql.Identifier("raw", table), staging=sql.Identifier(*staging))
    try:
        with connection.transaction():
            connection.execute(count, (stream, days))
    except psycopg.errors.UndefinedColumn:
        # The model of this stream does not keep the place of its events, so nothing can be said of its duplicates.
        connection.execute(
            "update ops.dates set duplicates = null where stream = %s and event_date = any(%s)", (stream, days)
        )


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
