"""The status of dates (view ``ops.date_status``), and fields that are not in the contract."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime

import psycopg
from psycopg.rows import class_row

Connection = psycopg.Connection[tuple[object, ...]]


@dataclass(frozen=True)
class DateStatus:
    """The status of one date of a stream, as recorded by its loads and transforms."""

    event_date: date
    rows: int
    quarantined: int
    duplicates: int | None
    """Rows of which another event with the same id counts; None before the first transform."""
    late: int
    """Rows that arrived after their partition's watermark had passed the date's end."""
    after_close: int
    """Late rows that arrived after the contract's lateness had passed as well."""
    version: int
    """The number of loads and reloads that have changed it."""
    loaded_at: datetime
    built_at: datetime | None
    pending: bool
    """Whether the marts do not show its last change yet."""
    closed: bool
    """Whether the stream's watermark has passed its end and the contract's lateness."""


def statuses(connection: Connection, stream: str) -> dict[date, DateStatus]:
    """Returns the status of each of a stream's dates."""
    query = (
        "select event_date, rows, quarantined, duplicates, late, after_close, version, loaded_at, built_at, pending,"
        " closed from ops.date_status where stream = %s order by event_date"
    )
    with connection.cursor(row_factory=class_row(DateStatus)) as cursor:
        return {status.event_date: status for status in cursor.execute(query, (stream,))}


def loaded_range(connection: Connection, streams: Iterable[str]) -> tuple[date, date] | None:
    """Returns the first and last event date that was loaded of any of the streams; None if none was."""
    query = "select min(event_date), max(event_date) from ops.dates where stream = any(%s)"
    row = connection.execute(query, (list(streams),)).fetchone()
    return row if row and row[0] else None  # type: ignore[return-value]


def drift(connection: Connection, stream: str) -> Iterator[tuple[str, int]]:
    """Yields fields of a stream's events that are not in its contract, and the number of events that have them."""
    query = "select field, sum(rows)::bigint from ops.drift where stream = %s group by 1 order by 1"
    for field, count in connection.execute(query, (stream,)):
        yield str(field), int(str(count))
