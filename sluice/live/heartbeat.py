"""The live view's heartbeat, a row in Postgres: its age shows whether the process is running."""

from typing import Any

import psycopg

MAX_AGE_SECONDS = 30.0
"""Older than this, the live view counts as down. A short pause of the machine stays below it."""


def staleness(connection: "psycopg.Connection[tuple[Any, ...]]") -> str | None:
    """Returns why the live view does not count as running; None if it does."""
    row = connection.execute("select extract(epoch from now() - seen_at)::float8 from live.heartbeat").fetchone()
    if row is None or row[0] is None:
        return "no heartbeat yet"
    return None if row[0] < MAX_AGE_SECONDS else f"last heartbeat {row[0]:,.0f} s ago"
