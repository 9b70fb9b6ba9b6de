"""The consumer group of a live view: that of its warehouse, so that views in other warehouses read everything too."""

from typing import Any

import psycopg


def live_group(connection: "psycopg.Connection[Any]") -> str:
    """Returns the group's name, made of the database and of its cluster's id, whatever address it is reached at."""
    row = connection.execute("select current_database(), system_identifier from pg_control_system()").fetchone()
    assert row is not None
    connection.commit()
    return f"sluice-live-{row[0]}-{row[1]}"
