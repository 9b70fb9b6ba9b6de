"""What the warehouse says of its dates: the view ``ops.date_status``, and fields that no contract names."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime

import psycopg
from psycopg.rows import class_row

Connection = psycopg.Connection[tuple[object, ...]]


@dataclass(frozen=True)
class DateStatus:
    """One date of a stream, by the loads and transforms that had to do with it."""

    event_date: date
    rows: int
    quarantined: int
    duplicates: int | None
    """Rows with another one's event_id; None before the first transform."""
    late: int
    """Rows that came when their partition's watermark had passed the date's end."""
    after_close: int
    """Of these, the ones that came when it had passed the contract's lateness too."""
    version: int
    """How many loads and reloads have changed it."""
    loaded_at: datetime
    built_at: datetime | None
    pending: bool
    """The marts do not show its last change yet."""
    closed: bool
    """The stream's watermark has passed its end and the contract's lateness."""


def statuses(connection: Connection, stream: str) -> dict[date, DateStatus]:
    """What is known of a stream's dates."""
    query = (
        "select event_date, rows, quarantined, duplicates, late, after_close, version, loaded_at, built_at, pending,"
        " closed from ops.date_status where stream = %s order by event_date"
    )
    with connection.cursor(row_factory=class_row(DateStatus)) as cursor:
        return {each.event_date: each for each in cursor.execute(query, (stream,))}


def drift(connection: Connection, stream: str) -> Iterator[tuple[str, int]]:
    """Fields that a stream's events hold and its contract does not name, and in how many events."""
    query = "select field, sum(rows)::bigint from ops.drift where stream = %s group by 1 order by 1"
    for field, count in connection.execute(query, (stream,)):
        yield str(field), int(str(count))
