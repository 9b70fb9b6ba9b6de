"""Whether the live view's process is there, by its own word in Postgres."""

from typing import Any

import psycopg

SECONDS = 30.0
"""How old that word may be; a pause of the machine is no fault."""


def silence(connection: "psycopg.Connection[tuple[Any, ...]]") -> str | None:
    """Why the live view does not count as running; None if it does."""
    row = connection.execute("select extract(epoch from now() - seen_at)::float8 from live.heartbeat").fetchone()
    if row is None or row[0] is None:
        return "it has not begun to read"
    return None if row[0] < SECONDS else f"not heard of for {row[0]:,.0f} s"
