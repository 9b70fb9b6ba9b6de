"""Warehouse transactions: a group's rows, quarantine, ledger, date statistics and drift, all or nothing."""

from collections.abc import Iterable, Iterator, Mapping
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
from sluice.load.batch import LAKE_COLUMNS, Batch, DateCounts, counts_json, date_sources_json, drift_json
from sluice.load.rejection import RecordId, RejectedRecordsError, copy_contained
from sluice.load.unknown_fields import MAX_NAMES, OTHERS
from sluice.settings import Settings
from sluice.warehouse import connect
from sluice.warehouse.copy import copy_rows
from sluice.warehouse.failures import is_transient
from sluice.warehouse.raw_table import require_raw_table

_RECORD_ID = ["topic_id", "partition", "offset"]
_RECORD_ID_TYPES: LiteralString = 'topic_id text, partition integer, "offset" bigint'
_QUARANTINED = pa.schema([*(SCHEMA.field(name) for name in LAKE_COLUMNS), ("reason", pa.string())])
_LEDGER = pa.schema(
    [
        ("stream", pa.string()),
        ("topic_id", pa.string()),
        ("partition", pa.int32()),
        ("start_offset", pa.int64()),
        ("next_offset", pa.int64()),
        ("rows", pa.int64()),
        ("quarantined", pa.int64()),
        ("watermark", pa.timestamp("us", tz="UTC")),
    ]
)
_ADD_DATE_STATS = """
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
# A stream has a limited number of fields; all others count as one.
_ADD_DRIFT = """
with known as (
    select distinct field from ops.drift where stream = $1
),
given as (
    select d.event_date, d.rows,
        case
            when k.field is not null then d.field
            when (select count(*) from known) + dense_rank() over (partition by k.field is null order by d.field) <= $3
                then d.field
            else $4
        end as field
    from jsonb_to_recordset($2::jsonb) as d (event_date date, field text, rows bigint)
    left join known k using (field)
)
insert into ops.drift (stream, event_date, field, rows)
select $1, event_date, field, sum(rows) from given
group by event_date, field
order by event_date, field
on conflict (stream, event_date, field) do update set rows = drift.rows + excluded.rows"""

# Whether a record was late follows from its partition's watermark when its range was loaded.
_ADD_RELEASED = """
insert into ops.dates as known (stream, event_date, rows, quarantined, late, after_close, version, loaded_at)
select $1, event_date, count(*), 0, count(*) filter (where watermark >= day_end),
    count(*) filter (where watermark >= day_end + lateness), 1, now()
from (
    select r.event_date, (r.event_date + 1)::timestamp at time zone 'UTC' as day_end, loaded.watermark, s.lateness
    from released r
    join ops.streams s on s.stream = $1,
    lateral (
        select before.watermark
        from ops.loads range
        left join ops.loads before
            on (before.topic_id, before.partition, before.next_offset)
            = (range.topic_id, range.partition, range.start_offset)
        where (range.topic_id, range.partition) = (r.topic_id, r.partition) and range.next_offset > r."offset"
        order by range.next_offset limit 1
    ) loaded
) counts
group by event_date
order by event_date
on conflict (stream, event_date) do update set
    rows = known.rows + excluded.rows,
    late = known.late + excluded.late,
    after_close = known.after_close + excluded.after_close,
    version = known.version + 1,
    loaded_at = excluded.loaded_at"""
_ADD_DATE_SOURCES = """
insert into ops.date_sources as known (stream, event_date, lake_date, rows)
select $1, event_date, lake_date, rows
from jsonb_to_recordset($2::jsonb) as s (event_date date, lake_date date, rows bigint)
order by event_date, lake_date
on conflict (stream, event_date, lake_date) do update set rows = known.rows + excluded.rows"""


Statement = LiteralString | sql.SQL | sql.Composed


@dataclass(frozen=True)
class LedgerEnd:
    """Where the ledger of a partition ends."""

    next_offset: int
    watermark: datetime | None


class Warehouse:
    """The loader's connection to the warehouse, within a transaction."""

    def __init__(self, connection: "psycopg.Connection[Any]", contract: Contract) -> None:
        self._connection = connection
        self._contract = contract

    def commit(self) -> None:
        """Commits the transaction; the next statement begins another."""
        self._connection.commit()

    def lock(self) -> None:
        """Blocks other loads of this stream until the transaction ends."""
        self.execute("select pg_advisory_xact_lock(hashtext('sluice load'), hashtext($1))", self._contract.stream)

    def lock_dates(self, days: Iterable[date]) -> None:
        """Blocks other changes to loaded rows of these dates of the lake until the transaction ends."""
        for day in sorted(days):
            self.execute(
                "select pg_advisory_xact_lock(hashtext('sluice date'), hashtext($1))", f"{self._contract.stream} {day}"
            )

    def ledger_ends(self) -> dict[PartitionKey, LedgerEnd]:
        """Returns where the ledger ends, per partition."""
        return {
            (topic_id, partition): LedgerEnd(next_offset, watermark)
            for topic_id, partition, next_offset, watermark in self.query(
                "select topic_id, partition, next_offset, watermark from ops.ledger_ends where stream = $1",
                self._contract.stream,
            )
        }

    def rollback(self) -> None:
        """Rolls the transaction back; the next statement begins another."""
        self._connection.rollback()

    def write(self, batch: Batch, now: datetime) -> None:
        """Inserts a batch's valid rows into raw, and its invalid records into quarantine.

        Raises:
            RejectedRecordsError: Postgres rejects some of them; roll back, and write them as invalid.
        """
        loaded_at = pa.scalar(now, pa.timestamp("us", tz="UTC"))
        metadata, rows = batch.valid(), batch.columns.rows
        for name in metadata.column_names:
            rows = rows.append_column(f"_{name}", metadata[name])
        rows = rows.append_column("_loaded_at", pa.repeat(loaded_at, rows.num_rows))
        invalid = batch.invalid
        quarantined = invalid.append_column("stream", pa.repeat(pa.scalar(self._contract.stream), invalid.num_rows))
        quarantined = quarantined.append_column("reason", pa.array(batch.columns.reasons, pa.string()))
        quarantined = quarantined.append_column("loaded_at", pa.repeat(loaded_at, invalid.num_rows))
        rejected = {
            **self._copy_contained(self._contract.table, rows, metadata),
            **self._copy_contained("quarantine", quarantined, invalid),
        }
        if rejected:
            raise RejectedRecordsError(rejected)

    def record_ranges(self, ranges: list[Range], batch: Batch, watermarks: Mapping[PartitionKey, datetime]) -> None:
        """Records ranges in the ledger, which rejects a range that does not start where its partition's ledger ends."""
        for offset_range in ranges:
            if offset_range.start_offset == 0:
                self.execute(
                    "insert into ops.loads (stream, topic_id, partition, start_offset, next_offset, rows, quarantined)"
                    " values ($1, $2, $3, null, 0, 0, 0) on conflict do nothing",
                    self._contract.stream,
                    offset_range.topic_id,
                    offset_range.partition,
                )
        counts = batch.counts()
        entries = [
            {
                "stream": self._contract.stream,
                "topic_id": offset_range.topic_id,
                "partition": offset_range.partition,
                "start_offset": offset_range.start_offset,
                "next_offset": offset_range.next_offset,
                "rows": counts.get((*offset_range.key, True), 0),
                "quarantined": counts.get((*offset_range.key, False), 0),
                "watermark": watermarks.get(offset_range.key),
            }
            for offset_range in ranges
        ]
        self._copy("ops", "loads", pa.Table.from_pylist(entries, _LEDGER))

    def mark_stale(self, days: Iterable[date]) -> None:
        """Marks dates as changed, so that the next transform rebuilds them."""
        dates = pa.array(sorted(days), pa.date32())
        streams = pa.repeat(pa.scalar(self._contract.stream), len(dates))
        self._copy("ops", "stale_dates", pa.table({"stream": streams, "event_date": dates}))

    def add_date_stats(
        self, counts: Mapping[date, DateCounts], drift: Mapping[tuple[date, str], int], now: datetime
    ) -> None:
        """Adds a group's counts and drift to the statistics of its dates.

        Call it last: until the transaction ends, other changes to these dates wait.
        """
        if counts:
            self.execute(_ADD_DATE_STATS, self._contract.stream, counts_json(counts), now)
        if drift:
            self.execute(_ADD_DRIFT, self._contract.stream, drift_json(drift), MAX_NAMES, OTHERS)

    def add_date_sources(self, batch: Batch) -> None:
        """Counts the rows of a batch whose event date is not the lake's."""
        if sources := batch.date_sources():
            self.execute(_ADD_DATE_SOURCES, self._contract.stream, date_sources_json(sources))

    def quarantined(self, day: date, reason: str) -> pa.Table:
        """Returns a date's open records whose reason or kind begins with ``reason``: ``LAKE_COLUMNS`` and reason."""
        records = self.query(
            'select topic_id, partition, "offset", "timestamp", event_date, key, value, reason from ops.quarantine'
            " where stream = $1 and event_date = $2 and not discarded"
            " and (starts_with(reason, $3) or starts_with(kind, $3))"
            ' order by topic_id, partition, "offset"',
            self._contract.stream,
            day,
            reason,
        )
        columns = zip(*records, strict=True) if records else [()] * len(_QUARANTINED)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, _QUARANTINED, strict=True)]
        return pa.table(arrays, schema=_QUARANTINED)

    def release(self, day: date, records: pa.Table, event_dates: pa.ChunkedArray, action: str, done_by: str) -> None:
        """Removes a date's records (as returned by ``quarantined``) from quarantine and logs each of them.

        The caller writes them to raw in the same transaction: the statistics of their event dates count them there.
        """
        entries = records.select([*_RECORD_ID, "event_date", "reason"])
        for name, value in (
            ("stream", self._contract.stream),
            ("action", action),
            ("note", "valid under the current contract"),
            ("done_by", done_by),
        ):
            entries = entries.append_column(name, pa.repeat(pa.scalar(value), entries.num_rows))
        self._copy("ops", "quarantine_log", entries)
        released = records.select(_RECORD_ID).append_column("event_date", event_dates)
        self._create_temporary("released", f"{_RECORD_ID_TYPES}, event_date date", released)
        self.execute(
            "delete from raw.quarantine q using released r"
            ' where (q.topic_id, q.partition, q."offset") = (r.topic_id, r.partition, r."offset")'
        )
        self.execute(
            "update ops.dates set quarantined = quarantined - $3, version = version + $4, loaded_at = now()"
            " where stream = $1 and event_date = $2",
            self._contract.stream,
            day,
            records.num_rows,
            # The statement after this one counts a new version of each event date.
            int(day not in event_dates.unique().to_pylist()),
        )
        self.execute(_ADD_RELEASED, self._contract.stream)

    def update_reasons(self, records: pa.Table, reasons: list[str]) -> None:
        """Updates the reasons of records that stay in quarantine."""
        current = pa.array(reasons, pa.string())
        differ = pc.not_equal(records["reason"], current)
        if pc.any(differ).as_py():
            changed = records.select(_RECORD_ID).append_column("reason", current).filter(differ)
            self._create_temporary("changed_reasons", f"{_RECORD_ID_TYPES}, reason text", changed)
            self.execute(
                "update raw.quarantine q set reason = r.reason from changed_reasons r"
                ' where (q.topic_id, q.partition, q."offset") = (r.topic_id, r.partition, r."offset")'
            )

    def query(self, statement: Statement, *values: object) -> list[Any]:
        """Returns the rows of a query."""
        with self._connection.cursor() as cursor:
            return cursor.execute(statement, values).fetchall()

    def execute(self, statement: Statement, *values: object) -> None:
        """Runs a statement."""
        with self._connection.cursor() as cursor:
            cursor.execute(statement, values)

    def _copy_contained(self, table: str, rows: pa.Table, records: pa.Table) -> dict[RecordId, str]:
        """Inserts rows into a table of raw; returns the reason for each of their records that Postgres rejects."""
        rejected = copy_contained(rows, lambda part: self._copy("raw", table, part), self._savepoint)
        ids = records.select(_RECORD_ID).take(pa.array(rejected, pa.int64())).to_pylist()
        return {
            (record["topic_id"], record["partition"], record["offset"]): reason
            for record, reason in zip(ids, rejected.values(), strict=True)
        }

    @contextmanager
    def _savepoint(self) -> Iterator[None]:
        self.execute("savepoint rows")
        try:
            yield
        except BaseException:
            self.execute("rollback to savepoint rows")
            raise
        self.execute("release savepoint rows")

    def _copy(self, schema: str, table: str, rows: pa.Table) -> None:
        copy_rows(self._connection, sql.Identifier(schema, table), rows)

    def _create_temporary(self, table: str, columns: LiteralString, rows: pa.Table) -> None:
        """Creates a table with these rows that is dropped at the end of the transaction."""
        create = sql.SQL("create temporary table {} ({}) on commit drop")
        self.execute(create.format(sql.Identifier(table), sql.SQL(columns)))
        copy_rows(self._connection, sql.Identifier("pg_temp", table), rows)


@contextmanager
def transaction(settings: Settings, contract: Contract) -> Iterator[Warehouse]:
    """Opens a transaction as the loader; it is committed at the end of the block, or rolled back if the block fails.

    Raises:
        TransientError: the server is down, or the connection was lost; retrying is safe, whether or not it committed.
        TerminalError: the server rejects a statement, or the raw table does not follow the contract yet.
    """
    try:
        with connect(settings, "loader") as connection:
            require_raw_table(connection, contract)
            # Numbered parameters: a statement may use one more than once.
            connection.cursor_factory = psycopg.RawCursor
            yield Warehouse(connection, contract)
    except psycopg.Error as error:
        raise _load_error(contract, error) from error


def _load_error(contract: Contract, error: psycopg.Error) -> SluiceError:
    message = f"loading {contract.stream} failed: Postgres: {' '.join(str(error).split())}"
    if is_transient(error):
        return TransientError(message, "retry: the next load resumes after the last committed group")
    return TerminalError(message, "fix the cause in Postgres, then load again: this group was rolled back")
