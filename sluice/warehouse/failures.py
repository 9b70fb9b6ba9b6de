"""Which of Postgres's errors a retry can help with. Every reader of an SQLSTATE asks here."""

import psycopg

_TRANSIENT_STATES = ("08", "25006", "25P03", "25P04", "40", "53", "55P03", "57")
"""Transient SQLSTATE classes and codes: connection, read-only (the server is a standby), time-out of a transaction,
rollback, resources, lock timeout, operator intervention."""


def is_transient(error: psycopg.Error) -> bool:
    """Returns whether a retry can help: the server was down, full, busy or a standby."""
    if error.sqlstate:
        return error.sqlstate.startswith(_TRANSIENT_STATES)
    # Without a state the error is the driver's own: a lost connection, or a value that it cannot send.
    return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)


def cause(error: psycopg.Error) -> str:
    """Returns Postgres's message with its detail, in one line."""
    parts = (error.diag.message_primary or str(error), error.diag.message_detail or "")
    return ": ".join(" ".join(part.split()) for part in parts if part)
