"""Stores alerts (``ops.alerts``), at most one open per kind and subject, and the messages that are to be delivered."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import quote

import psycopg

from sluice.errors import TerminalError, TransientError
from sluice.escaping import escape
from sluice.settings import Settings
from sluice.warehouse import connect
from sluice.warehouse.failures import is_transient

Connection = psycopg.Connection[tuple[object, ...]]

FAILED_RUN = "failed run"
IMPORT_ERROR = "import error"
INVALID_CONTRACT = "invalid contract"
STALLED_SINK = "stalled sink"
QUARANTINE = "quarantine"
RECONCILE = "reconcile"
OVERDUE_LOAD = "overdue load"
DISK = "disk"
CLOCK = "clock"
FAILED_CHECK = "failed check"

_RAISE = """
insert into ops.alerts (kind, subject, message, dag_id, run_id)
select %(kind)s, subject, message, dag_id, run_id
from unnest(%(subjects)s::text[], %(messages)s::text[], %(dags)s::text[], %(runs)s::text[])
    as problems (subject, message, dag_id, run_id)
on conflict (kind, subject) where cleared_at is null do nothing
returning seq, kind, subject, message, dag_id, run_id"""
_UPDATE = """
update ops.alerts a set message = problems.message, dag_id = problems.dag_id, run_id = problems.run_id
from unnest(%(subjects)s::text[], %(messages)s::text[], %(dags)s::text[], %(runs)s::text[])
    as problems (subject, message, dag_id, run_id)
where a.kind = %(kind)s and a.subject = problems.subject and a.cleared_at is null
    and (a.message, a.dag_id, a.run_id) is distinct from (problems.message, problems.dag_id, problems.run_id)"""
_CLEAR = """
update ops.alerts set cleared_at = now()
where kind = %(kind)s and cleared_at is null and subject <> all(%(subjects)s::text[])
returning seq, kind, subject, message, dag_id, run_id"""
_CLEAR_REMOVED = """
update ops.alerts set cleared_at = now(), message = message || %(reason)s
where cleared_at is null and kind = any(%(kinds)s) and subject = any(%(subjects)s::text[])
returning seq, kind, subject, message, dag_id, run_id"""
_QUEUE = """
insert into ops.alert_messages (alert, cleared, channel)
select alert, %(cleared)s, channel
from unnest(%(alerts)s::bigint[]) with ordinality alerts (alert, number)
cross join unnest(%(channels)s::text[]) as channels (channel)
order by number, channel"""
_OF_STREAMS = [STALLED_SINK, QUARANTINE, OVERDUE_LOAD, CLOCK]
"""The kinds of alerts whose subjects are streams."""
_REMOVED = "; cleared because the contract of the stream was removed"


class Run(NamedTuple):
    """A run of one of Airflow's DAGs."""

    dag_id: str
    run_id: str

    def url(self, airflow: str) -> str:
        """Returns the address of the run's page; ``airflow`` is that of Airflow's UI."""
        return f"{airflow}/dags/{quote(self.dag_id, safe='')}/runs/{quote(self.run_id, safe='')}"


class Problem(NamedTuple):
    """What is wrong with a subject, and the run that it is about, or that found it."""

    message: str
    run: Run


@dataclass(frozen=True)
class Change:
    """An alert that has just been raised or cleared."""

    kind: str
    subject: str
    message: str
    run: Run | None = None
    """None for an alert that an earlier version raised."""
    cleared: bool = False

    def text(self) -> str:
        """Returns the change in one line, without the run."""
        return f"{'cleared' if self.cleared else 'alert'}: {self.kind}: {self.subject}: {self.message}"


def sync_alerts(
    settings: Settings, kind: str, problems: Mapping[str, Problem], channels: Collection[str] = ()
) -> list[Change]:
    """Makes the open alerts of a kind match the current problems, and queues a message per change and channel.

    All of it, or nothing. Idempotent.

    Args:
        settings: with the loader's password.
        kind: of the alerts.
        problems: by subject.
        channels: the names of the channels that are to be told.

    Returns:
        The alerts that were raised or cleared.

    Raises:
        TransientError, TerminalError: Postgres is down or rejects the statement.
    """
    values = {
        "kind": kind,
        # They may quote names and values that hold anything. Postgres, chat tools and terminals get printable text.
        "subjects": [escape(subject) for subject in problems],
        "messages": [escape(problem.message) for problem in problems.values()],
        "dags": [problem.run.dag_id for problem in problems.values()],
        "runs": [problem.run.run_id for problem in problems.values()],
    }
    with loader(settings) as warehouse:
        raised = warehouse.execute(_RAISE, values).fetchall()
        warehouse.execute(_UPDATE, values)
        cleared = warehouse.execute(_CLEAR, values).fetchall()
        return [*_queue(warehouse, raised, channels, False), *_queue(warehouse, cleared, channels, True)]


def clear_alerts_of_removed(
    settings: Settings, streams: Collection[str], channels: Collection[str] = ()
) -> list[Change]:
    """Clears the open alerts of streams whose contract was removed, with that reason, and queues messages. Idempotent.

    Args:
        settings: with the loader's password.
        streams: the streams.
        channels: the names of the channels that are to be told.

    Returns:
        The alerts that were cleared.

    Raises:
        TransientError, TerminalError: Postgres is down or rejects the statement.
    """
    values = {"reason": _REMOVED, "kinds": _OF_STREAMS, "subjects": list(streams)}
    with loader(settings) as warehouse:
        return _queue(warehouse, warehouse.execute(_CLEAR_REMOVED, values).fetchall(), channels, True)


def runs_of_open_alerts(settings: Settings, kind: str) -> set[Run]:
    """Returns the runs of the open alerts of a kind.

    Raises:
        TransientError, TerminalError: Postgres is down or rejects the query.
    """
    with connect(settings, "reader") as warehouse:
        query = "select dag_id, run_id from ops.alerts where kind = %s and cleared_at is null and run_id is not null"
        return {Run(str(dag_id), str(run_id)) for dag_id, run_id in warehouse.execute(query, (kind,))}


@contextmanager
def loader(settings: Settings) -> Iterator[Connection]:
    """Yields a connection that may write alerts; commits at the end.

    Raises:
        TransientError, TerminalError: Postgres is down or rejects a statement.
    """
    try:
        with connect(settings, "loader") as warehouse:
            yield warehouse
    except psycopg.Error as error:
        if is_transient(error):
            raise TransientError(f"storing alerts failed: Postgres: {error}", "see `make logs S=postgres`") from error
        raise TerminalError(
            f"storing alerts failed: Postgres: {error}", "run `make up` to create what is missing in the warehouse"
        ) from error


def change(row: Sequence[object], cleared: bool) -> Change:
    """Returns the change of an alert, given its kind, subject, message, DAG and run."""
    kind, subject, message, dag_id, run_id = row
    run = Run(str(dag_id), str(run_id)) if run_id is not None else None
    return Change(str(kind), str(subject), str(message), run, cleared)


def _queue(
    warehouse: Connection, rows: Collection[tuple[object, ...]], channels: Collection[str], cleared: bool
) -> list[Change]:
    values = {"alerts": [row[0] for row in rows], "channels": list(channels), "cleared": cleared}
    warehouse.execute(_QUEUE, values)
    return [change(row[1:], cleared) for row in rows]
