"""Stores alerts (``ops.alerts``): at most one open alert per kind and subject."""

from collections.abc import Collection, Mapping
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
    try:
        with connect(settings, "loader") as warehouse:
            raised = warehouse.execute(_RAISE, values).fetchall()
            warehouse.execute(_UPDATE, values)
            cleared = warehouse.execute(_CLEAR, values).fetchall()
    except psycopg.Error as error:
        if is_transient(error):
            raise TransientError(f"storing alerts failed: Postgres: {error}", "see `make logs S=postgres`") from error
        raise TerminalError(
            f"storing alerts failed: Postgres: {error}", "run `make up` to create what is missing in the warehouse"
        ) from error
    return [
        *(Change(kind, str(subject), str(message)) for subject, message in raised),
        *(Change(kind, str(subject), str(message), cleared=True) for subject, message in cleared),
    ]
