"""The lock of everything that provisions the warehouse."""

import psycopg


def lock_provisioning(connection: "psycopg.Connection[tuple[object, ...]]") -> None:
    """Lets one process provision at a time; the lock is held until the connection ends."""
    connection.execute("select pg_advisory_lock(hashtext('sluice provision'))")
