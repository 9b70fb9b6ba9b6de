"""The rows that a contestant leaves in Postgres: how many events have none, and how many have several."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql


@dataclass(frozen=True)
class Rows:
    """A contestant's rows: where they are, and the columns that tell one event's rows from any other's."""

    source: sql.Composable
    """A table or a query in brackets."""
    key: tuple[str, ...]


def copies(connection: "psycopg.Connection[Any]", rows: Rows) -> dict[int, int]:
    """Returns how many events have one row, how many have two, and so on."""
    key = sql.SQL(", ").join(map(sql.Identifier, rows.key))
    query = sql.SQL(
        "select copies, count(*) from (select count(*) as copies from {} r group by {}) events group by copies"
    )
    return dict(connection.execute(query.format(rows.source, key)).fetchall())


def lost_and_doubled(events_by_copies: Mapping[int, int], events: int) -> tuple[int, int]:
    """Returns how many of the events have no row, and how many rows there are beyond the first of each event."""
    lost = events - sum(events_by_copies.values())
    return lost, sum((copies - 1) * count for copies, count in events_by_copies.items())
