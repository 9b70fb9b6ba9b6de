"""Stores alerts (``ops.alerts``): at most one open alert per kind and subject."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg

from sluice.errors import TerminalError, TransientError
from sluice.escaping import escape
from sluice.settings import Settings
from sluice.warehouse import connect
from sluice.warehouse.failures import is_transient

STALLED_SINK = "stalled sink"
QUARANTINE = "quarantine"
RECONCILE = "reconcile"
OVERDUE_LOAD = "overdue load"
CLOCK = "clock"
INVALID_CONTRACT = "invalid contract"

_RAISE = """
insert into ops.alerts (kind, subject, message)
select %(kind)s, subject, message from unnest(%(subjects)s::text[], %(messages)s::text[]) as problems (subject, message)
on conflict (kind, subject) where cleared_at is null do nothing
returning subject, message"""
_UPDATE = """
update ops.alerts a set message = problems.message
from unnest(%(subjects)s::text[], %(messages)s::text[]) as problems (subject, message)
where a.kind = %(kind)s and a.subject = problems.subject and a.cleared_at is null and a.message <> problems.message"""
_CLEAR = """
update ops.alerts set cleared_at = now()
where kind = %(kind)s and cleared_at is null and subject <> all(%(subjects)s::text[])
    and (%(among)s::text[] is null or subject = any(%(among)s::text[]))
returning subject, message"""

_CLEAR_REMOVED = """
update ops.alerts set cleared_at = now(), message = message || %(reason)s
where cleared_at is null and kind = any(%(kinds)s) and subject = any(%(subjects)s::text[])
returning kind, subject, message"""
_OF_STREAMS = [STALLED_SINK, QUARANTINE, OVERDUE_LOAD, CLOCK]
"""The kinds of alerts whose subjects are streams."""
_REMOVED = "; cleared because the contract of the stream was removed"


@dataclass(frozen=True)
class Change:
    """An alert that has just been raised or cleared."""

    kind: str
    subject: str
    message: str
    cleared: bool = False

    def text(self) -> str:
        """Returns the change in one line."""
        return f"{'cleared' if self.cleared else 'alert'}: {self.kind}: {self.subject}: {self.message}"


def sync_alerts(
    settings: Settings, kind: str, problems: Mapping[str, str], among: Collection[str] | None = None
) -> list[Change]:
    """Makes the open alerts of a kind match the current problems. Idempotent.

    Args:
        settings: with the loader's password.
        kind: of the alerts.
        problems: per subject, a description of its problem.
        among: the subjects that were checked; None for all.

    Returns:
        The alerts that were raised or cleared.

    Raises:
        TransientError, TerminalError: Postgres is down or rejects the statement.
    """
    values = {
        "kind": kind,
        # They may quote names and values that hold anything. Postgres, chat tools and terminals get printable text.
        "subjects": [escape(subject) for subject in problems],
        "messages": [escape(message) for message in problems.values()],
        "among": None if among is None else [escape(subject) for subject in among],
    }
    with _loader(settings) as warehouse:
        raised = warehouse.execute(_RAISE, values).fetchall()
        warehouse.execute(_UPDATE, values)
        cleared = warehouse.execute(_CLEAR, values).fetchall()
    return [
        *(Change(kind, str(subject), str(message)) for subject, message in raised),
        *(Change(kind, str(subject), str(message), cleared=True) for subject, message in cleared),
    ]


def clear_alerts_of_removed(settings: Settings, streams: Collection[str]) -> list[Change]:
    """Clears the open alerts of streams whose contract was removed, with that reason. Idempotent.

    Args:
        settings: with the loader's password.
        streams: the streams.

    Returns:
        The alerts that were cleared.

    Raises:
        TransientError, TerminalError: Postgres is down or rejects the statement.
    """
    values = {"reason": _REMOVED, "kinds": _OF_STREAMS, "subjects": list(streams)}
    with _loader(settings) as warehouse:
        cleared = warehouse.execute(_CLEAR_REMOVED, values).fetchall()
    return [Change(str(kind), str(subject), str(message), cleared=True) for kind, subject, message in cleared]


@contextmanager
def _loader(settings: Settings) -> "Iterator[psycopg.Connection[tuple[object, ...]]]":
    try:
        with connect(settings, "loader") as warehouse:
            yield warehouse
    except psycopg.Error as error:
        if is_transient(error):
            raise TransientError(f"storing alerts failed: Postgres: {error}", "see `make logs S=postgres`") from error
        raise TerminalError(
            f"storing alerts failed: Postgres: {error}", "run `make up` to create what is missing in the warehouse"
        ) from error
