"""The streams that the warehouse knows (``ops.streams``), whether or not they still have a contract."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from sluice.contracts.names import table_name

Connection = psycopg.Connection[Any]

# The ledger is locked first: every transaction that changes loaded rows has read it or its ends, so this waits for all
# of them.
_EMPTY: tuple[LiteralString, ...] = (
    "lock table ops.ledger_ends, ops.loads in access exclusive mode",
    "delete from raw.quarantine where stream = any(%(streams)s)",
    "delete from ops.loads where stream = any(%(streams)s)",
    "delete from ops.dates where stream = any(%(streams)s)",
    "delete from ops.date_sources where stream = any(%(streams)s)",
    "delete from ops.stale_dates where stream = any(%(streams)s)",
    "delete from ops.drift where stream = any(%(streams)s)",
    "delete from ops.verified_dates where stream = any(%(streams)s)",
    "delete from ops.verified_prefixes where stream = any(%(streams)s)",
)
_READERS = """
select distinct reader.oid::regclass::text
from pg_depend
join pg_rewrite on classid = 'pg_rewrite'::regclass and pg_rewrite.oid = objid
join pg_class reader on reader.oid = ev_class
where refclassid = 'pg_class'::regclass and refobjid = to_regclass(%s) and reader.oid <> refobjid
order by 1"""


@dataclass(frozen=True)
class StreamSize:
    """What the warehouse holds of a stream."""

    rows: int | None
    """Of the raw table; None if there is no such table."""
    table_size: int
    """With its indexes, in bytes."""
    quarantined: int
    dates: int
    """Event dates with statistics."""


def known_streams(connection: Connection) -> dict[str, str]:
    """Returns the topic of each stream that a launch has provisioned, by stream."""
    rows = connection.execute("select stream, coalesce(topic, stream) from ops.streams order by 1")
    return {str(stream): str(topic) for stream, topic in rows}


def stream_size(connection: Connection, stream: str) -> StreamSize:
    """Returns what the warehouse holds of a stream."""
    table = table_name(stream)
    ((exists, size, quarantined, dates),) = connection.execute(
        "select to_regclass(%(table)s) is not null, coalesce(pg_total_relation_size(to_regclass(%(table)s)), 0),"
        " (select count(*) from raw.quarantine where stream = %(stream)s),"
        " (select count(*) from ops.dates where stream = %(stream)s)",
        {"table": f"raw.{table}", "stream": stream},
    )
    rows = None
    if exists:
        ((rows,),) = connection.execute(sql.SQL("select count(*) from {}").format(sql.Identifier("raw", table)))
    return StreamSize(rows, size, quarantined, dates)


def views_of(connection: Connection, stream: str) -> list[str]:
    """Returns the views that read a stream's raw table, with their schemas."""
    return [str(view) for (view,) in connection.execute(_READERS, (f"raw.{table_name(stream)}",))]


def empty_streams(connection: Connection, streams: Iterable[str]) -> None:
    """Deletes quarantine, ledger and statistics of streams, but no raw row, within a transaction of the superuser.

    The audit log of the quarantine stays.
    """
    names = list(streams)
    for statement in _EMPTY:
        connection.execute(statement, {"streams": names})


def drop_stream(connection: Connection, stream: str) -> None:
    """Deletes everything that the warehouse holds of a stream, within a transaction of the superuser."""
    empty_streams(connection, [stream])
    connection.execute(sql.SQL("drop table if exists {}").format(sql.Identifier("raw", table_name(stream))))
    connection.execute("delete from ops.streams where stream = %s", (stream,))
