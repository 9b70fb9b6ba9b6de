"""Which records are meant, what there is of them, and discarding them."""

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


@dataclass(frozen=True)
class Selection:
    """Records of the quarantine. Whatever is left out does not matter."""

    stream: str | None = None
    day: date | None = None
    reason: str = ""
    """What the reason, or its kind, begins with."""
    discarded: bool = False
    """Discarded ones too."""

    def where(self) -> tuple[sql.Composed, dict[str, Any]]:
        """As a condition on ``ops.quarantine``, with its parameters."""
        conditions = [sql.SQL("(starts_with(reason, %(reason)s) or starts_with(kind, %(reason)s))")]
        if self.stream is not None:
            conditions.append(sql.SQL("stream = %(stream)s"))
        if self.day is not None:
            conditions.append(sql.SQL("event_date = %(day)s"))
        if not self.discarded:
            conditions.append(sql.SQL("not discarded"))
        return sql.SQL(" and ").join(conditions), {"reason": self.reason, "stream": self.stream, "day": self.day}


@dataclass(frozen=True)
class Group:
    """How many records of a stream's date are in quarantine for one kind of reason."""

    stream: str
    event_date: date
    kind: str
    records: int
    discarded: int
    """How many of them."""


def groups(settings: Settings, selection: Selection) -> list[Group]:
    """What is in quarantine, by stream, date and kind of reason.

    Raises:
        TransientError, TerminalError: Postgres does not answer, or refuses.
    """
    condition, values = selection.where()
    query = sql.SQL(
        "select stream, event_date, kind, count(*), count(*) filter (where discarded)"
        " from ops.quarantine where {} group by 1, 2, 3 order by 1, 2, 4 desc, 3"
    ).format(condition)
    with _warehouse(settings, "reader") as warehouse:
        return [Group(*row) for row in warehouse.execute(query, values).fetchall()]  # type: ignore[arg-type]


def show(settings: Settings, selection: Selection, count: int) -> list[dict[str, Any]]:
    """The first records by date and place, each with its columns of ``ops.quarantine``.

    Args:
        settings: where Postgres is.
        selection: which.
        count: how many at most.

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
        return cursor.execute(query, values | {"count": count}).fetchall()


def open_dates(settings: Settings, selection: Selection) -> list[tuple[str, date]]:
    """The streams' dates of which something selected is in quarantine.

    Raises:
        TransientError, TerminalError: as ``groups``.
    """
    condition, values = selection.where()
    query = sql.SQL("select distinct stream, event_date from ops.quarantine where {} order by 1, 2").format(condition)
    with _warehouse(settings, "reader") as warehouse:
        return warehouse.execute(query, values).fetchall()  # type: ignore[return-value]


def discard(settings: Settings, selection: Selection, note: str, done_by: str) -> int:
    """Says of records that nothing is to be done about them. They stay in quarantine, where they are accounted for.

    Args:
        settings: with the loader's password.
        selection: which; those that are discarded already stay as they are.
        note: why.
        done_by: who says so.

    Returns:
        How many were discarded now.

    Raises:
        TerminalError: there is no note, or nobody's name; or Postgres refuses.
        TransientError: Postgres does not answer; nothing is discarded.
    """
    if not note.strip() or not done_by.strip():
        raise TerminalError("discarding needs a note and a name", "say why with --note, and who with --by")
    condition, values = selection.where()
    with _warehouse(settings, "loader") as warehouse:
        # What another command is at is left to it: it ends first, and what it left is looked at.
        warehouse.execute("lock table raw.quarantine in share row exclusive mode")
        done = warehouse.execute(
            sql.SQL(
                'insert into ops.quarantine_log (stream, topic_id, partition, "offset", event_date, reason, action,'
                " note, done_by) select stream, topic_id, partition, \"offset\", event_date, reason, 'discarded',"
                " %(note)s, %(done_by)s from ops.quarantine where not discarded and {}"
            ).format(condition),
            values | {"note": note, "done_by": done_by},
        )
        return done.rowcount


@contextmanager
def _warehouse(settings: Settings, role: Role) -> "Iterator[psycopg.Connection[tuple[object, ...]]]":
    try:
        with connect(settings, role) as connection:
            yield connection
    except psycopg.OperationalError as error:
        raise TransientError(f"the quarantine: {error}", "see `make logs S=postgres`") from error
    except psycopg.Error as error:
        raise TerminalError(f"the quarantine: {error}", "`make up` makes what is missing in the warehouse") from error
