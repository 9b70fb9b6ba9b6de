"""Databases that exist only during a check, on the warehouse's server."""

from psycopg import sql

from sluice.settings import Settings
from sluice.warehouse.connect import connect


def drop_database(settings: Settings, name: str) -> None:
    """Drops a database of the warehouse's server, if it exists."""
    with connect(settings, "postgres", "postgres") as server:
        server.autocommit = True
        server.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))
