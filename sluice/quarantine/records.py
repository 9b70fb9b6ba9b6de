"""Selects, counts, shows and discards records of the quarantine."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from sluice.errors import TerminalError, TransientError
from sluice.settings import Settings
from sluice.warehouse import connect
from sluice.warehouse.connect import Role
from sluice.warehouse.failures import is_transient
from sluice.warehouse.values import load_odd_times_as_text


@dataclass(frozen=True)
class Selection:
    """Selects records of the quarantine; criteria that are left out do not restrict the selection."""

    stream: str | None = None
    day: date | None = None
    reason: str = ""
    """Prefix of the reason or of its kind."""
    kind: str | None = None
    """The kind of the reason, exactly."""
    discarded: bool = False
    """Whether to include discarded records."""

    def where(self) -> tuple[sql.Composed, dict[str, Any]]:
        """Returns a condition on ``ops.quarantine``, with its parameters."""
        conditions = [sql.SQL("(starts_with(reason, %(reason)s) or starts_with(kind, %(reason)s))")]
        if self.kind is not None:
            conditions.append(sql.SQL("kind = %(kind)s"))
        if self.stream is not None:
            conditions.append(sql.SQL("stream = %(stream)s"))
        if self.day is not None:
            conditions.append(sql.SQL("event_date = %(day)s"))
        if not self.discarded:
            conditions.append(sql.SQL("not discarded"))
        values = {"reason": self.reason, "kind": self.kind, "stream": self.stream, "day": self.day}
        return sql.SQL(" and ").join(conditions), values


@dataclass(frozen=True)
class Group:
    """The records of a stream's date that are in quarantine for one kind of reason."""

    stream: str
    event_date: date | str
    """Text if Python has no such date."""
    kind: str
    records: int
    discarded: int
    """The number of them that are discarded."""


def groups(settings: Settings, selection: Selection) -> list[Group]:
    """Counts the records in quarantine by stream, date and kind of reason.

    Raises:
        TransientError, TerminalError: Postgres is down or rejects the query.
    """
    condition, values = selection.where()
    query = sql.SQL(
        "select stream, event_date, kind, count(*), count(*) filter (where discarded)"
        " from ops.quarantine where {} group by 1, 2, 3 order by 1, 2, 4 desc, 3"
    ).format(condition)
    with _warehouse(settings, "reader") as warehouse:
        load_odd_times_as_text(warehouse)
        return [Group(*row) for row in warehouse.execute(query, values).fetchall()]  # type: ignore[arg-type]


def show(settings: Settings, selection: Selection, count: int) -> list[dict[str, Any]]:
    """Returns the first records by date and offset, each with its columns of ``ops.quarantine``.

    Dates and times are text where Python has no such date or time.

    Args:
        settings: with the reader's password.
        selection: the records.
        count: maximum number of records.

    Raises:
        TransientError, TerminalError: as ``groups``.
    """
    condition, values = selection.where()
    query = sql.SQL(
        'select stream, topic_id, partition, "offset", event_date, "timestamp", key, value, reason, loaded_at,'
        " discarded, note, done_by, done_at from ops.quarantine where {}"
        ' order by stream, event_date, topic_id, partition, "offset" limit %(count)s'
    ).format(condition)
    with _warehouse(settings, "reader") as warehouse, warehouse.cursor(row_factory=dict_row) as cursor:
        load_odd_times_as_text(cursor)
        return cursor.execute(query, values | {"count": count}).fetchall()


def open_dates(settings: Settings, selection: Selection) -> list[tuple[str, date]]:
    """Returns the streams and dates that have selected records in quarantine.

    Raises:
        TransientError, TerminalError: as ``groups``.
    """
    condition, values = selection.where()
    query = sql.SQL("select distinct stream, event_date from ops.quarantine where {} order by 1, 2").format(condition)
    with _warehouse(settings, "reader") as warehouse:
        return warehouse.execute(query, values).fetchall()  # type: ignore[return-value]


def discard(settings: Settings, selection: Selection, note: str, done_by: str) -> int:
    """Marks records as discarded. They stay in quarantine, so that every offset is accounted for.

    Args:
        settings: with the loader's password.
        selection: the records; those already discarded keep their note.
        note: the reason.
        done_by: the actor.

    Returns:
        The number of records discarded by this call.

    Raises:
        TerminalError: the note or the actor's name is empty, or Postgres rejects the statement.
        TransientError: Postgres is down; nothing was discarded.
    """
    if not note.strip() or not done_by.strip():
        raise TerminalError("discarding needs a note and a name", "give the reason with --note and your name with --by")
    condition, values = selection.where()
    with _warehouse(settings, "loader") as warehouse:
        # Waits for other commands that change the quarantine, and then sees what they left.
        warehouse.execute("lock table raw.quarantine in share row exclusive mode")
        discarded = warehouse.execute(
            sql.SQL(
                'insert into ops.quarantine_log (stream, topic_id, partition, "offset", event_date, reason, action,'
                " note, done_by) select stream, topic_id, partition, \"offset\", event_date, reason, 'discarded',"
                " %(note)s, %(done_by)s from ops.quarantine where not discarded and {}"
            ).format(condition),
            values | {"note": note, "done_by": done_by},
        )
        return discarded.rowcount


@contextmanager
def _warehouse(settings: Settings, role: Role) -> "Iterator[psycopg.Connection[tuple[object, ...]]]":
    try:
        with connect(settings, role) as connection:
            yield connection
    except psycopg.Error as error:
        if is_transient(error):
            raise TransientError(f"quarantine query failed: {error}", "see `make logs S=postgres`") from error
        raise TerminalError(
            f"quarantine query failed: {error}", "run `make up` to create what is missing in the warehouse"
        ) from error
