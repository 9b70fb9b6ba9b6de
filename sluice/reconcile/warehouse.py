"""The warehouse's side of a comparison: all of it from one snapshot, so that no figure is newer than another."""

import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import psycopg
from psycopg import sql

from sluice.contracts import Contract
from sluice.errors import TransientError
from sluice.lake.ranges import PartitionKey
from sluice.reconcile.tally import OffsetSum, Tally, sql_sums
from sluice.settings import Settings
from sluice.warehouse import connect
from sluice.warehouse.dates import DateStatus, drift, statuses

Connection = psycopg.Connection[Any]

_ALL = sql.SQL("true")
_RAW_LAKE_DATE = sql.SQL("coalesce(t._lake_date, t._event_date)")
_RAW_OF_DAYS = sql.SQL(
    "(t._lake_date = any(%(days)s::date[]) or (t._lake_date is null and t._event_date = any(%(days)s::date[])))"
)
"""The same column, in a form that has an index."""
_QUARANTINE_OF_DAYS = sql.SQL("t.event_date = any(%(days)s::date[])")

RECOUNT_ROWS = 2_000_000
"""Rows of verified dates that a comparison counts again, beginning with those whose last count is oldest."""
RECOUNT_SECONDS = 2.0
"""How long a comparison counts them, all streams together. Where the rows of a date are scattered over the table,
counting them would take as long as the table is large."""
_CLOCK_SLACK = timedelta(hours=1)
"""More than a load's transaction takes, and more than the clocks of loader and server differ."""


@dataclass(frozen=True)
class Ledger:
    """Where a partition's ledger ends, and how many records it counts up to there."""

    next_offset: int
    records: int


@dataclass
class WarehouseSide:
    """A stream in the warehouse, as of the snapshot."""

    ledger: dict[PartitionKey, Ledger]
    verified: dict[PartitionKey, int] = field(default_factory=dict)
    """The first offset of each partition that is not verified; empty if the whole stream is to be compared."""
    verified_records: Counter[PartitionKey] = field(default_factory=Counter)
    """The lake's rows in the verified prefixes."""
    verified_dates: Counter[date] = field(default_factory=Counter)
    """The same rows, by date."""
    recounted: frozenset[date] | None = None
    """Dates of which all rows are counted; None for all dates. Of others, only those beyond the prefixes."""
    recorded: Tally = field(default_factory=dict)
    """The recorded sums of the lake's rows in the verified prefixes, of the recounted dates."""
    raw: Tally = field(default_factory=dict)
    quarantined: Tally = field(default_factory=dict)
    statuses: dict[date, DateStatus] = field(default_factory=dict)
    """By event date."""
    drift: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    moved: dict[tuple[date, date], int] = field(default_factory=dict)
    """Rows of raw by date of the lake and event date, where the two differ. All dates but those of ``statuses`` are the
    lake's."""


@contextmanager
def snapshot(settings: Settings) -> Iterator[Connection]:
    """Opens one snapshot of the warehouse: all queries within it see the same moment, that of the first one.

    Raises:
        TransientError: the server is down, or the connection was lost.
        TerminalError: it rejects the connection.
    """
    try:
        with connect(settings, "reader") as warehouse:
            warehouse.execute("set transaction isolation level repeatable read, read only")
            yield warehouse
    except psycopg.OperationalError as error:
        raise TransientError(f"connection to the warehouse lost: {error}", "see `make logs S=postgres`") from error


def read_moment(warehouse: Connection) -> datetime:
    """Returns when the snapshot was taken, by the server's clock. Call it first: the snapshot is no older."""
    moment: datetime
    ((moment,),) = warehouse.execute("select now()")
    return moment


def pending_dates(warehouse: Connection) -> int:
    """Returns the number of stale dates of all streams."""
    count: int
    query = "select count(distinct (stream, event_date)) from ops.stale_dates where built_at is null"
    ((count,),) = warehouse.execute(query)
    return count


def read_ledgers(warehouse: Connection) -> dict[str, dict[PartitionKey, Ledger]]:
    """Returns where the ledgers end, per stream and partition."""
    ledgers: dict[str, dict[PartitionKey, Ledger]] = {}
    query = "select stream, topic_id, partition, next_offset, rows + quarantined from ops.ledger_ends"
    for stream, topic_id, partition, next_offset, records in warehouse.execute(query + " where next_offset > 0"):
        ledgers.setdefault(stream, {})[topic_id, partition] = Ledger(next_offset, records)
    return ledgers


def read_side(
    warehouse: Connection,
    contract: Contract,
    ledger: dict[PartitionKey, Ledger],
    *,
    full: bool,
    days: Collection[date] = (),
    recount_until: float,
) -> WarehouseSide:
    """Returns a stream's side as of the snapshot.

    Args:
        warehouse: within ``snapshot``.
        contract: of the stream.
        ledger: the stream's, of the same snapshot.
        full: whether to count all rows, whatever was verified before.
        days: event dates to recount in any case.
        recount_until: when to stop counting other dates again, as a monotonic time in seconds.
    """
    side = WarehouseSide(ledger)
    stream = contract.stream
    side.statuses = statuses(warehouse, stream)
    side.drift = dict(drift(warehouse, stream))
    sources = "select lake_date, event_date, rows from ops.date_sources where stream = %s"
    side.moved = {
        (lake_date, event_date): rows for lake_date, event_date, rows in warehouse.execute(sources, (stream,))
    }
    since = None if full else _read_verified(warehouse, stream, side)
    if since is None:
        side.raw, side.quarantined = _sums(warehouse, contract, _ALL, {})
        return side
    lake_dates = {*days, *(lake_date for lake_date, event_date in side.moved if event_date in days)}
    _recount(warehouse, contract, side, lake_dates, recount_until)
    keys = list(side.verified)
    beyond = sql.SQL(
        "{offset} >= coalesce((select next_offset from unnest(%(topic_ids)s::text[], %(partitions)s::int[],"
        " %(next_offsets)s::bigint[]) as verified (topic_id, partition, next_offset)"
        " where verified.topic_id = {topic_id} and verified.partition = {partition}), 0)"
        " and {loaded_at} >= %(since)s and {lake_date} <> all(%(recounted)s::date[])"
    )
    values = {
        "topic_ids": [topic_id for topic_id, _ in keys],
        "partitions": [partition for _, partition in keys],
        "next_offsets": list(side.verified.values()),
        "since": since - _CLOCK_SLACK,
        "recounted": sorted(side.recounted or ()),
    }
    raw, quarantined = _sums(warehouse, contract, beyond, values)
    side.raw |= raw
    side.quarantined |= quarantined
    return side


def _read_verified(warehouse: Connection, stream: str, side: WarehouseSide) -> datetime | None:
    """Reads what was verified; returns when, or None if nothing of it is of use."""
    rows = warehouse.execute(
        "select topic_id, partition, next_offset, verified_at from ops.verified_prefixes where stream = %s", (stream,)
    ).fetchall()
    prefixes = {(topic_id, partition): next_offset for topic_id, partition, next_offset, _ in rows}
    behind = [key for key in prefixes if key not in side.ledger or side.ledger[key].next_offset < prefixes[key]]
    if behind:
        side.notes.append(f"{stream}: the warehouse was loaded again since it was verified, so all of it was compared")
    if behind or not rows:
        return None
    side.verified = prefixes
    for topic_id, partition, records in warehouse.execute(
        "select topic_id, partition, sum(rows)::bigint from ops.verified_dates where stream = %s group by 1, 2",
        (stream,),
    ):
        side.verified_records[topic_id, partition] = records
    side.verified_dates.update(
        dict(
            warehouse.execute(
                "select event_date, sum(rows)::bigint from ops.verified_dates where stream = %s group by 1", (stream,)
            )
        )
    )
    since: datetime = min(verified_at for *_, verified_at in rows)
    return since


def _recount(
    warehouse: Connection, contract: Contract, side: WarehouseSide, days: Collection[date], until: float
) -> None:
    """Counts all rows of the requested dates, and of those whose last count is oldest, within limits."""
    oldest = warehouse.execute(
        "select event_date, sum(rows)::bigint from ops.verified_dates where stream = %s group by 1"
        " order by min(counted_at), event_date",
        (contract.stream,),
    )
    chosen, total = set(days), 0
    for day, rows in oldest:
        if day not in chosen and total + rows <= RECOUNT_ROWS:
            chosen.add(day)
            total += rows
    side.recounted = frozenset(days)
    # Two statements share what is left.
    seconds = (until - time.monotonic()) / 2
    others = chosen - set(days) if seconds > 0 else set[date]()
    for dates, timeout in ((set(days), "0"), (others, f"{max(1, round(seconds * 1000))}ms")):
        try:
            with warehouse.transaction():
                warehouse.execute(sql.SQL("set local statement_timeout = {}").format(timeout))
                raw, quarantined = _sums(warehouse, contract, sql.SQL("{of_days}"), {"days": sorted(dates)})
        except psycopg.errors.QueryCanceled:
            continue
        side.raw |= raw
        side.quarantined |= quarantined
        side.recounted |= dates
    warehouse.execute("set local statement_timeout to default")
    for topic_id, partition, day, *sums in warehouse.execute(
        "select topic_id, partition, event_date, rows, offsets::text, squares::text from ops.verified_dates"
        " where stream = %s and event_date = any(%s::date[])",
        (contract.stream, sorted(side.recounted)),
    ):
        side.recorded[topic_id, partition, day] = OffsetSum(*map(int, sums))


def _sums(
    warehouse: Connection, contract: Contract, condition: sql.SQL, values: Mapping[str, object]
) -> tuple[Tally, Tally]:
    """Returns the tallies of the rows in raw and of the records in quarantine that match a condition on columns."""
    columns = ("topic_id", "partition", "offset", "loaded_at")
    of_stream = sql.SQL("t.stream = {}").format(contract.stream)
    tallies = []
    for table, prefix, lake_date, of_days, only in (
        (sql.Identifier("raw", contract.table), "_", _RAW_LAKE_DATE, _RAW_OF_DAYS, sql.SQL("true")),
        (sql.Identifier("raw", "quarantine"), "", sql.SQL("t.event_date"), _QUARANTINE_OF_DAYS, of_stream),
    ):
        names = {name: sql.Identifier("t", f"{prefix}{name}") for name in columns}
        query = sql.SQL("select {}, {}, {}, {} from {} as t where {} and {} group by 1, 2, 3").format(
            names["topic_id"],
            names["partition"],
            lake_date,
            sql_sums(f"{prefix}offset"),
            table,
            only,
            condition.format(**names, lake_date=lake_date, of_days=of_days),
        )
        tallies.append(_tally(warehouse.execute(query, values)))
    return tallies[0], tallies[1]


def _tally(rows: Iterable[Sequence[Any]]) -> Tally:
    return {(topic, partition, day): OffsetSum(*map(int, sums)) for topic, partition, day, *sums in rows}
