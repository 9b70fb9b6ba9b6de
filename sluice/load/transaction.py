"""Transactions on the warehouse: rows, quarantine, ledger, dates and drift, all of a group or nothing."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, LiteralString

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from psycopg import sql

from sluice.contracts import Contract
from sluice.errors import SluiceError, TerminalError, TransientError
from sluice.lake.layout import SCHEMA
from sluice.lake.ranges import PartitionKey, Range
from sluice.load.batch import LAKE_COLUMNS, Batch, DateCounts, as_json, drift_json
from sluice.settings import Settings
from sluice.warehouse import connect
from sluice.warehouse.copy import copy_rows

_PASSING = ("08", "40", "53", "55P03", "57")
"""SQLSTATE classes and codes that can pass: connection, rollback, resources, lock time-out, operator."""
_PLACE = ["topic_id", "partition", "offset"]
_PLACE_TYPES: LiteralString = 'topic_id text, partition integer, "offset" bigint'
_QUARANTINED = pa.schema([*(SCHEMA.field(name) for name in LAKE_COLUMNS), ("reason", pa.string())])
_LEDGER = pa.schema(
    [
        ("stream", pa.string()),
        ("topic_id", pa.string()),
        ("partition", pa.int32()),
        ("first_offset", pa.int64()),
        ("next_offset", pa.int64()),
        ("rows", pa.int64()),
        ("quarantined", pa.int64()),
        ("watermark", pa.timestamp("us", tz="UTC")),
    ]
)
# From place to place by the index, so that the ledger's length costs nothing.
LEDGER_ENDS = sql.SQL("""
with recursive ends as (
    (select topic_id, partition, next_offset, watermark from ops.loads
     where stream = $1 order by topic_id, partition, next_offset desc limit 1)
    union all
    select later.* from ends cross join lateral (
        select l.topic_id, l.partition, l.next_offset, l.watermark from ops.loads l
        where l.stream = $1 and (l.topic_id, l.partition) > (ends.topic_id, ends.partition)
        order by l.topic_id, l.partition, l.next_offset desc limit 1
    ) later
)
{query}""")
"""A query on ``ends``: the ledger's ends of the stream ``$1``."""
_ADD_DATES = """
insert into ops.dates (stream, event_date, rows, quarantined, late, after_close, version, loaded_at)
select $1, event_date, rows, quarantined, late, after_close, 1, $3
from jsonb_to_recordset($2::jsonb)
    as d (event_date date, rows bigint, quarantined bigint, late bigint, after_close bigint)
order by event_date
on conflict (stream, event_date) do update set
    rows = dates.rows + excluded.rows,
    quarantined = dates.quarantined + excluded.quarantined,
    late = dates.late + excluded.late,
    after_close = dates.after_close + excluded.after_close,
    version = dates.version + 1,
    loaded_at = excluded.loaded_at"""
_ADD_DRIFT = """
insert into ops.drift (stream, event_date, field, rows)
select $1, event_date, field, rows from jsonb_to_recordset($2::jsonb) as d (event_date date, field text, rows bigint)
order by event_date, field
on conflict (stream, event_date, field) do update set rows = drift.rows + excluded.rows"""


Statement = LiteralString | sql.SQL | sql.Composed


@dataclass(frozen=True)
class End:
    """Where the ledger ends for a place."""

    next_offset: int
    watermark: datetime | None


class Warehouse:
    """A loader's connection to the warehouse, within a transaction."""

    def __init__(self, connection: "psycopg.Connection[Any]", contract: Contract) -> None:
        self._connection = connection
        self._contract = contract

    def commit(self) -> None:
        """Ends the transaction; the next statement begins another."""
        self._connection.commit()

    def lock(self) -> None:
        """Keeps other loads of this stream out until the transaction ends."""
        self.execute("select pg_advisory_xact_lock(hashtext('sluice load'), hashtext($1))", self._contract.stream)

    def lock_date(self, day: date) -> None:
        """Keeps out, until the transaction ends, whoever else changes rows of this date that are loaded already."""
        self.execute(
            "select pg_advisory_xact_lock(hashtext('sluice date'), hashtext($1))", f"{self._contract.stream} {day}"
        )

    def ends(self) -> dict[PartitionKey, End]:
        """Where the ledger ends, per place."""
        return {
            (topic_id, partition): End(following, watermark)
            for topic_id, partition, following, watermark in self.query(
                LEDGER_ENDS.format(query=sql.SQL("select * from ends")), self._contract.stream
            )
        }

    def write(self, batch: Batch, now: datetime) -> None:
        """Adds a batch's rows, and quarantines what does not fit."""
        loaded_at = pa.scalar(now, pa.timestamp("us", tz="UTC"))
        places, rows = batch.fitting(), batch.columns.rows
        for name in places.column_names:
            rows = rows.append_column(f"_{name}", places[name])
        self._ingest("raw", self._contract.table, rows.append_column("_loaded_at", pa.repeat(loaded_at, rows.num_rows)))
        unfit = batch.unfit
        if unfit.num_rows:
            unfit = unfit.append_column("stream", pa.repeat(pa.scalar(self._contract.stream), unfit.num_rows))
            unfit = unfit.append_column("reason", pa.array(batch.columns.reasons, pa.string()))
            unfit = unfit.append_column("loaded_at", pa.repeat(loaded_at, unfit.num_rows))
            self._ingest("raw", "quarantine", unfit)

    def enter(self, ranges: list[Range], batch: Batch, watermarks: Mapping[PartitionKey, datetime]) -> None:
        """Enters ranges in the ledger, which refuses them unless each follows what is there."""
        for each in ranges:
            if each.start_offset == 0:
                self.execute(
                    "insert into ops.loads (stream, topic_id, partition, first_offset, next_offset, rows, quarantined)"
                    " values ($1, $2, $3, null, 0, 0, 0) on conflict do nothing",
                    self._contract.stream,
                    each.topic_id,
                    each.partition,
                )
        counts = batch.counts()
        entries = [
            {
                "stream": self._contract.stream,
                "topic_id": each.topic_id,
                "partition": each.partition,
                "first_offset": each.start_offset,
                "next_offset": each.next_offset,
                "rows": counts.get((each.topic_id, each.partition, True), 0),
                "quarantined": counts.get((each.topic_id, each.partition, False), 0),
                "watermark": watermarks.get((each.topic_id, each.partition)),
            }
            for each in ranges
        ]
        self._ingest("ops", "loads", pa.Table.from_pylist(entries, _LEDGER))

    def touch(self, days: list[date]) -> None:
        """Says that these dates changed: the next transform builds them."""
        streams = pa.repeat(pa.scalar(self._contract.stream), len(days))
        dates = pa.array(days, pa.date32())
        self._ingest("ops", "touched_dates", pa.table({"stream": streams, "event_date": dates}))

    def add_dates(
        self, counts: Mapping[date, DateCounts], drift: Mapping[tuple[date, str], int], now: datetime
    ) -> None:
        """Adds what a group brought to what is known of its dates.

        To be called last: until the transaction ends, others that change one of these dates wait.
        """
        if counts:
            self.execute(_ADD_DATES, self._contract.stream, as_json(counts), now)
        if drift:
            self.execute(_ADD_DRIFT, self._contract.stream, drift_json(drift))

    def quarantined(self, day: date, reason: str) -> pa.Table:
        """A date's open records whose reason, or its kind, begins with ``reason``: ``LAKE_COLUMNS`` and the reason."""
        found = self.query(
            'select topic_id, partition, "offset", "timestamp", event_date, key, value, reason from ops.quarantine'
            " where stream = $1 and event_date = $2 and not discarded"
            " and (starts_with(reason, $3) or starts_with(kind, $3))"
            ' order by topic_id, partition, "offset"',
            self._contract.stream,
            day,
            reason,
        )
        columns = zip(*found, strict=True) if found else [()] * len(_QUARANTINED)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, _QUARANTINED, strict=True)]
        return pa.table(arrays, schema=_QUARANTINED)

    def release(self, day: date, records: pa.Table, action: str, done_by: str) -> None:
        """Takes a date's records (as ``quarantined`` gives them) out of quarantine, with an entry for each in its log.

        They are to be written to raw in the same transaction: what is known of the date says that they are there.
        """
        entries = records.select([*_PLACE, "event_date", "reason"])
        for name, value in (
            ("stream", self._contract.stream),
            ("action", action),
            ("note", "fits its contract now"),
            ("done_by", done_by),
        ):
            entries = entries.append_column(name, pa.repeat(pa.scalar(value), entries.num_rows))
        self._ingest("ops", "quarantine_log", entries)
        self._beside("released", _PLACE_TYPES, records.select(_PLACE))
        self.execute(
            "delete from raw.quarantine q using released r"
            ' where (q.topic_id, q.partition, q."offset") = (r.topic_id, r.partition, r."offset")'
        )
        # How late a record came is told by its partition's watermark when the range that it came with was loaded.
        self.execute(
            "update ops.dates d set rows = d.rows + came.count, quarantined = d.quarantined - came.count,"
            " late = d.late + came.late, after_close = d.after_close + came.after_close,"
            " version = d.version + 1, loaded_at = now() from ("
            " select count(*), count(*) filter (where watermark >= day_end) as late,"
            " count(*) filter (where watermark >= day_end + lateness) as after_close"
            " from released r, lateral ("
            "  select before.watermark from ops.loads range left join ops.loads before"
            "   on (before.topic_id, before.partition, before.next_offset)"
            "    = (range.topic_id, range.partition, range.first_offset)"
            '   where (range.topic_id, range.partition) = (r.topic_id, r.partition) and range.next_offset > r."offset"'
            "   order by range.next_offset limit 1) loaded,"
            " (select ($2::date + 1)::timestamp at time zone 'UTC' as day_end, lateness from ops.streams"
            "  where stream = $1) closing"
            " ) came where d.stream = $1 and d.event_date = $2",
            self._contract.stream,
            day,
        )

    def restate(self, records: pa.Table, reasons: list[str]) -> None:
        """Gives records that stay in quarantine the reasons that hold now."""
        known = pa.array(reasons, pa.string())
        differ = pc.not_equal(records["reason"], known)
        if pc.any(differ).as_py():
            stated = records.select(_PLACE).append_column("reason", known).filter(differ)
            self._beside("restated", f"{_PLACE_TYPES}, reason text", stated)
            self.execute(
                "update raw.quarantine q set reason = r.reason from restated r"
                ' where (q.topic_id, q.partition, q."offset") = (r.topic_id, r.partition, r."offset")'
            )

    def query(self, statement: Statement, *values: object) -> list[Any]:
        """The rows of a query."""
        with self._connection.cursor() as cursor:
            return cursor.execute(statement, values).fetchall()

    def execute(self, statement: Statement, *values: object) -> None:
        """Runs a statement."""
        with self._connection.cursor() as cursor:
            cursor.execute(statement, values)

    def _ingest(self, schema: str, table: str, rows: pa.Table) -> None:
        copy_rows(self._connection, sql.Identifier(schema, table), rows)

    def _beside(self, table: str, columns: LiteralString, rows: pa.Table) -> None:
        """Puts rows into a table that goes with the transaction."""
        create = sql.SQL("create temporary table {} ({}) on commit drop")
        self.execute(create.format(sql.Identifier(table), sql.SQL(columns)))
        copy_rows(self._connection, sql.Identifier("pg_temp", table), rows)


@contextmanager
def transaction(settings: Settings, contract: Contract) -> Iterator[Warehouse]:
    """A connection as the loader, for transactions: what is not committed at the block's end is, unless it fails.

    Raises:
        TransientError: the server does not answer, or was interrupted; loading again settles what became of it.
        TerminalError: the server refuses.
    """
    try:
        with connect(settings, "loader") as connection:
            # Parameters by number: a statement may name one more than once.
            connection.cursor_factory = psycopg.RawCursor
            yield Warehouse(connection, contract)
    except psycopg.Error as error:
        raise _fault(contract, error) from error


def _fault(contract: Contract, error: psycopg.Error) -> SluiceError:
    state = error.sqlstate or ""
    what = f"load of {contract.stream}: Postgres: {' '.join(str(error).split())}"
    if not state or state.startswith(_PASSING):
        return TransientError(what, "nothing of this group is loaded; the next try loads it")
    return TerminalError(what, "nothing of this group is loaded")
