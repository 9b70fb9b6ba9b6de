"""Publishes marts: makes the tables in ``marts`` equal to those that dbt has built in ``staging``, in one transaction.

What goes wrong with one mart costs that mart: it keeps the rows of its last publication, and the next one compares or
copies all of its rows. Readers see all other marts of a run, or none of them.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta

import psycopg
from psycopg import sql

from sluice.errors import SluiceError, TerminalError, TransientError
from sluice.transform.lineage import Mart, Readiness
from sluice.transform.mart_tables import MARTS, Table, find_table, prepare_replacement, replace, write
from sluice.transform.stale import Connection, mark_built, postgres_errors
from sluice.warehouse.failures import cause, is_transient

PATIENCE = timedelta(minutes=1)
"""How long a publication waits for readers that hold a mart, in total."""
_LOCK_TIMEOUT = timedelta(seconds=2)
"""How long it waits for one lock. Later readers of that mart wait as long."""
_PAUSE_SECONDS = 4.0
"""Between two attempts, so that readers get through."""
_LOAD_TIMEOUT = timedelta(seconds=30)
"""How long it waits for a load that is about to commit the statistics of a date."""
_OTHER_KINDS = {
    "v": "view",
    "m": "materialized view",
    "S": "sequence",
    "i": "index",
    "c": "type",
    "f": "foreign table",
}
"""What may have the name of a mart without being a table, by ``pg_class.relkind``."""
_AGAIN = "then run `make transform`, which publishes it"


def any_refused(connection: Connection) -> bool:
    """Returns whether a mart was not published by the last run that published others."""
    query = "select exists (select from staging.transform_publications where refused is not null and not removed)"
    with postgres_errors():
        row = connection.execute(query).fetchone()
    return row is not None and bool(row[0])


def publish(
    connection: Connection, ready: Readiness, rebuilt: Iterable[str], *, log_line: Callable[[str], None]
) -> dict[str, SluiceError]:
    """Publishes what is ready, and marks the plan's dates as built if everything that depends on them was.

    Args:
        connection: of the transformer, in autocommit mode, holding the transforms' lock.
        ready: what dbt has built.
        rebuilt: models, by dbt's ids, that need not be rebuilt whole any more.
        log_line: receives progress, line by line.

    Returns:
        The errors of the marts that could not be published, by name. A TransientError: a session has held the mart for
        longer than ``PATIENCE``.

    Raises:
        TransientError: the connection to the warehouse was lost, or another table was locked for too long.
        TerminalError: the warehouse rejects what every publication does.
    """
    deadline = time.monotonic() + PATIENCE.total_seconds()
    while True:
        started = time.monotonic()
        with postgres_errors(), connection.transaction():
            refused = _publish_all(connection, ready)
            connection.execute("delete from staging.transform_whole where model = any(%s)", (list(rebuilt),))
            held = [str(error) for error in refused.values() if isinstance(error, TransientError)]
            again = held and time.monotonic() < deadline
            if again:
                # Releases every lock and everything written so far.
                raise psycopg.Rollback
        if not again:
            log_line(f"published {len(ready.marts) - len(refused)} marts in {time.monotonic() - started:.2f} s")
            return refused
        log_line(f"publishing waits: {'; '.join(held)}")
        time.sleep(_PAUSE_SECONDS)


def _publish_all(connection: Connection, ready: Readiness) -> dict[str, SluiceError]:
    query = "select mart, built_as, published_as, refused from staging.transform_publications"
    known = {str(row[0]): row[1:] for row in connection.execute(query)}
    predicates = connection.execute("select model, predicate from staging.transform_stale_rows").fetchall()
    stale_rows = {str(model): str(predicate) for model, predicate in predicates}
    published: dict[str, tuple[int, int]] = {}
    replacements: dict[str, Table] = {}
    refused: dict[str, SluiceError] = {}
    _limit_locks(connection, _LOCK_TIMEOUT)
    for mart in ready.marts:
        with _contained(connection, mart.name, refused):
            new, old = _find(connection, mart)
            if old is None or not old.same_shape(new):
                replacements[mart.name] = target = prepare_replacement(connection, new, old)
            else:
                # Rows that were not stale are equal only if the last publication was from this table to this one.
                partly = known.get(mart.name) == (new.oid, old.oid, None)
                write(connection, new, old, stale_rows.get(mart.model, "true") if partly else "true")
                target = old
            published[mart.name] = new.oid, target.oid
    if ready.complete:
        _limit_locks(connection, _LOAD_TIMEOUT)
        mark_built(connection, ready.staging, ready.work_lists)
        _limit_locks(connection, _LOCK_TIMEOUT)
    # Last, because from here on readers of these marts wait.
    for name, replacement in replacements.items():
        with _contained(connection, name, refused):
            replace(connection, replacement, name)
        if name in refused:
            connection.execute(sql.SQL("drop table {}").format(replacement.name))
    _record(connection, ready, published, refused)
    return refused


def _find(connection: Connection, mart: Mart) -> tuple[Table, Table | None]:
    """Returns the relation that was built, and the mart if it exists."""
    new, old = find_table(connection, mart.schema, mart.name), find_table(connection, MARTS, mart.name)
    if new is None:
        raise TerminalError(f"dbt has not built {mart.schema}.{mart.name}", f"see the log of the transform, {_AGAIN}")
    if old is not None and old.kind in _OTHER_KINDS:
        raise TerminalError(
            f"marts.{mart.name} is a {_OTHER_KINDS[old.kind]}", f"drop or rename it, or rename the model, {_AGAIN}"
        )
    return new, old


def _limit_locks(connection: Connection, timeout: timedelta) -> None:
    """Sets how long the transaction waits for one lock."""
    connection.execute("select set_config('lock_timeout', %s, true)", (str(timeout // timedelta(milliseconds=1)),))


@contextmanager
def _contained(connection: Connection, name: str, refused: dict[str, SluiceError]) -> Iterator[None]:
    """Undoes what was done to a mart if it fails, and keeps the error. A lost connection ends the whole publication."""
    try:
        with connection.transaction():
            yield
    except TerminalError as error:
        refused[name] = TerminalError(f"marts.{name} was not published: {error.message}", error.hint)
    except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
        refused[name] = TransientError(
            f"marts.{name} was not published: {_holders(connection, name)}",
            f"end that session, for example with `select pg_terminate_backend(…)` as postgres, {_AGAIN}",
        )
    except psycopg.errors.DependentObjectsStillExist as error:
        refused[name] = TerminalError(
            f"marts.{name} was not published: its columns or indexes have changed, and {error.diag.message_detail}",
            f"drop what depends on it, {_AGAIN}, and create it again",
        )
    except psycopg.Error as error:
        if is_transient(error):
            raise
        refused[name] = TerminalError(f"marts.{name} was not published: {cause(error)}", f"fix the cause, {_AGAIN}")


def _holders(connection: Connection, name: str) -> str:
    """Returns which sessions hold a mart."""
    sessions = connection.execute("select * from ops.sessions_holding_mart(%s)", (name,)).fetchall()
    return f"it is held by {', '.join(str(session) for (session,) in sessions)}" if sessions else "it was held"


def _record(
    connection: Connection,
    ready: Readiness,
    published: Mapping[str, tuple[int, int]],
    refused: Mapping[str, SluiceError],
) -> None:
    """Records how each mart was published: the next publication compares all rows of a mart that was not.

    Marts of earlier publications that no model builds any more are marked as removed.
    """
    causes = ready.held_back | {name: str(error) for name, error in refused.items()}
    rows: list[tuple[object, ...]] = [(name, *oids, None) for name, oids in published.items() if name not in causes]
    rows += [(name, None, None, text) for name, text in causes.items()]
    current = [*(mart.name for mart in ready.marts), *ready.held_back]
    connection.execute("delete from staging.transform_publications where mart = any(%s)", (current,))
    connection.execute("update staging.transform_publications set removed = true")
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into staging.transform_publications (mart, built_as, published_as, refused)"
            " values (%s, %s, %s, %s)",
            rows,
        )
