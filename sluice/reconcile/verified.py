"""Records what was verified: a prefix per partition, and the sums of its rows per date."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import psycopg

from sluice.errors import TransientError
from sluice.lake.ranges import PartitionKey
from sluice.reconcile.tally import Tally
from sluice.reconcile.warehouse import Connection, WarehouseSide
from sluice.settings import Settings
from sluice.warehouse import connect

_ADD_DATES = """
insert into ops.verified_dates as known (stream, topic_id, partition, event_date, rows, offsets, squares)
values (%s, %s, %s, %s, %s, %s, %s)
on conflict (topic_id, partition, event_date) do update set
    rows = known.rows + excluded.rows,
    offsets = known.offsets + excluded.offsets,
    squares = known.squares + excluded.squares"""
_ADVANCE = """
insert into ops.verified_prefixes (stream, topic_id, partition, next_offset, verified_at)
values (%s, %s, %s, %s, %s)
on conflict (topic_id, partition) do update set
    next_offset = excluded.next_offset,
    verified_at = excluded.verified_at"""


def record(settings: Settings, stream: str, moment: datetime, side: WarehouseSide, tally: Tally) -> None:
    """Advances a stream's prefixes to the end of the ledger. Does nothing if another comparison did so meanwhile.

    Args:
        settings: with the loader's password.
        stream: the stream, which agreed.
        moment: when the snapshot was taken.
        side: what it was compared with.
        tally: the lake's rows between the prefixes and the ledger's end.

    Raises:
        TransientError, TerminalError: Postgres is down, or rejects the role.
    """
    with _recorder(settings, stream) as recorder:
        if not side.verified:
            _forget(recorder, stream)
        elif _prefixes(recorder, stream) != side.verified:
            return
        with recorder.cursor() as cursor:
            cursor.executemany(
                _ADD_DATES,
                [(stream, *key, sums.rows, sums.offsets, sums.squares) for key, sums in sorted(tally.items())],
            )
            cursor.executemany(
                _ADVANCE, [(stream, *key, end.next_offset, moment) for key, end in sorted(side.ledger.items())]
            )
        if side.recounted:
            recorder.execute(
                "update ops.verified_dates set counted_at = now() where stream = %s and event_date = any(%s::date[])",
                (stream, sorted(side.recounted)),
            )


def forget(settings: Settings, stream: str) -> None:
    """Removes what was recorded of a stream, so that the next comparison reads all of it.

    Raises:
        TransientError, TerminalError: as ``record``.
    """
    with _recorder(settings, stream) as recorder:
        _forget(recorder, stream)


@contextmanager
def _recorder(settings: Settings, stream: str) -> Iterator[Connection]:
    """Opens a transaction that is the only one to record this stream."""
    try:
        with connect(settings, "loader") as connection:
            connection.execute("select pg_advisory_xact_lock(hashtext('sluice reconcile'), hashtext(%s))", (stream,))
            yield connection
    except psycopg.OperationalError as error:
        raise TransientError(
            f"recording what was verified failed: Postgres: {error}", "see `make logs S=postgres`"
        ) from error


def _forget(recorder: Connection, stream: str) -> None:
    recorder.execute("delete from ops.verified_dates where stream = %s", (stream,))
    recorder.execute("delete from ops.verified_prefixes where stream = %s", (stream,))


def _prefixes(recorder: Connection, stream: str) -> dict[PartitionKey, int]:
    query = "select topic_id, partition, next_offset from ops.verified_prefixes where stream = %s"
    return {
        (topic_id, partition): next_offset for topic_id, partition, next_offset in recorder.execute(query, (stream,))
    }
