"""Writing a group to the warehouse: rows, quarantine, ledger and touched dates, in one transaction."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime

import pyarrow as pa
import pyarrow.compute as pc
from adbc_driver_manager import DatabaseError as AdbcError
from adbc_driver_postgresql import dbapi
from psycopg import sql

from sluice.contracts import Contract
from sluice.errors import SluiceError, TerminalError, TransientError
from sluice.load.columns import Columns
from sluice.load.plan import Place, Range
from sluice.settings import Settings
from sluice.warehouse import uri
from sluice.warehouse.connect import refusal

LAKE_COLUMNS = ["topic_id", "partition", "offset", "timestamp", "event_date", "key", "value"]
"""What of the lake's columns a load reads."""

_PASSING = ("08", "40", "53", "55P03", "57")
"""SQLSTATE classes and codes that can pass: connection, rollback, resources, lock time-out, operator."""
_PLACE = ["topic_id", "partition", "offset"]
_LEDGER = pa.schema(
    [
        ("stream", pa.string()),
        ("topic_id", pa.string()),
        ("partition", pa.int32()),
        ("first_offset", pa.int64()),
        ("next_offset", pa.int64()),
        ("rows", pa.int64()),
        ("quarantined", pa.int64()),
    ]
)


@dataclass(frozen=True)
class Batch:
    """Lake rows (``LAKE_COLUMNS``), with their values read."""

    rows: pa.Table
    columns: Columns

    @property
    def dates(self) -> list[date]:
        """The event dates in it, ascending."""
        return sorted(pc.unique(self.rows["event_date"]).to_pylist())


class Warehouse:
    """One transaction of one load on the warehouse."""

    def __init__(self, connection: dbapi.Connection, contract: Contract) -> None:
        self._connection = connection
        self._contract = contract

    def lock(self) -> None:
        """Keeps other loads of this stream out until the transaction ends."""
        self._execute("select pg_advisory_xact_lock(hashtext('sluice load'), hashtext($1))", self._contract.stream)

    def lock_date(self, day: date) -> None:
        """Keeps out, until the transaction ends, whoever else changes rows of this date that are loaded already."""
        self._execute(
            "select pg_advisory_xact_lock(hashtext('sluice date'), hashtext($1))", f"{self._contract.stream} {day}"
        )

    def heads(self) -> dict[Place, int]:
        """The ledger's next offset per place."""
        with self._connection.cursor() as cursor:
            cursor.execute(
                "select topic_id, partition, max(next_offset) from ops.loads where stream = $1 group by 1, 2",
                (self._contract.stream,),
            )
            return {(topic_id, partition): head for topic_id, partition, head in cursor.fetchall()}

    def write(self, batch: Batch, now: datetime) -> None:
        """Adds a batch's rows, and quarantines what does not fit; marks its dates as touched."""
        place = pa.table(
            {
                "_event_date": batch.rows["event_date"],
                "_topic_id": batch.rows["topic_id"],
                "_partition": batch.rows["partition"],
                "_offset": batch.rows["offset"],
                "_timestamp": batch.rows["timestamp"],
            }
        ).filter(batch.columns.fits)
        loaded_at = pa.scalar(now, pa.timestamp("us", tz="UTC"))
        rows = batch.columns.rows
        for name in place.column_names:
            rows = rows.append_column(name, place[name])
        self._ingest("raw", self._contract.table, rows.append_column("_loaded_at", pa.repeat(loaded_at, rows.num_rows)))
        if batch.columns.reasons:
            self._quarantine(batch, loaded_at)
        self.touch(batch.dates)

    def enter(self, ranges: list[Range], batch: Batch) -> None:
        """Enters ranges in the ledger, which refuses them unless each follows what is there."""
        for each in ranges:
            if each.first == 0:
                self._execute(
                    "insert into ops.loads (stream, topic_id, partition, first_offset, next_offset, rows, quarantined)"
                    " values ($1, $2, $3, null, 0, 0, 0) on conflict do nothing",
                    self._contract.stream,
                    each.topic_id,
                    each.partition,
                )
        counts = _counts(batch)
        entries = [
            {
                "stream": self._contract.stream,
                "topic_id": each.topic_id,
                "partition": each.partition,
                "first_offset": each.first,
                "next_offset": each.next,
                "rows": counts.get((each.topic_id, each.partition, True), 0),
                "quarantined": counts.get((each.topic_id, each.partition, False), 0),
            }
            for each in ranges
        ]
        self._ingest("ops", "loads", pa.Table.from_pylist(entries, _LEDGER))

    def remove(self, day: date) -> int:
        """Removes a date's raw and quarantined rows; returns how many raw ones there were."""
        table = sql.Identifier("raw", self._contract.table)
        delete = sql.SQL("delete from {} where _event_date = $1").format(table).as_string(None)
        with self._connection.cursor() as cursor:
            cursor.execute(delete, (day,))
            removed = int(cursor.rowcount)
        self._execute("delete from raw.quarantine where stream = $1 and event_date = $2", self._contract.stream, day)
        return max(removed, 0)

    def quarantined(self, day: date, reason: str) -> pa.Table:
        """A date's open records whose reason, or its kind, begins with ``reason``: ``LAKE_COLUMNS`` and the reason."""
        with self._connection.cursor() as cursor:
            cursor.execute(
                'select topic_id, partition, "offset", "timestamp", event_date, key, value, reason from ops.quarantine'
                " where stream = $1 and event_date = $2 and not discarded"
                " and (starts_with(reason, $3) or starts_with(kind, $3))"
                ' order by topic_id, partition, "offset"',
                (self._contract.stream, day, reason),
            )
            return cursor.fetch_arrow_table()

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
        self._beside("released", records.select(_PLACE))
        self._execute(
            "delete from raw.quarantine q using released r"
            ' where (q.topic_id, q.partition, q."offset") = (r.topic_id, r.partition, r."offset")'
        )
        # How late a record came is told by its partition's watermark when the range that it came with was loaded.
        self._execute(
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
            self._beside("restated", stated)
            self._execute(
                "update raw.quarantine q set reason = r.reason from restated r"
                ' where (q.topic_id, q.partition, q."offset") = (r.topic_id, r.partition, r."offset")'
            )

    def touch(self, dates: list[date]) -> None:
        """Says that these dates changed: the next transform builds them."""
        self._ingest(
            "ops",
            "touched_dates",
            pa.table(
                {
                    "stream": pa.repeat(pa.scalar(self._contract.stream), len(dates)),
                    "event_date": pa.array(dates, pa.date32()),
                }
            ),
        )

    def _quarantine(self, batch: Batch, loaded_at: pa.Scalar) -> None:
        unfit = batch.rows.filter(pc.invert(batch.columns.fits))
        self._ingest(
            "raw",
            "quarantine",
            pa.table(
                {
                    "stream": pa.repeat(pa.scalar(self._contract.stream), unfit.num_rows),
                    "topic_id": unfit["topic_id"],
                    "partition": unfit["partition"],
                    "offset": unfit["offset"],
                    "event_date": unfit["event_date"],
                    "timestamp": unfit["timestamp"],
                    "key": unfit["key"],
                    "value": unfit["value"],
                    "reason": pa.array(batch.columns.reasons, pa.string()),
                    "loaded_at": pa.repeat(loaded_at, unfit.num_rows),
                }
            ),
        )

    def _ingest(self, schema: str, table: str, rows: pa.Table) -> None:
        if rows.num_rows:
            with self._connection.cursor() as cursor:
                cursor.adbc_ingest(table, rows, mode="append", db_schema_name=schema)

    def _beside(self, table: str, rows: pa.Table) -> None:
        """Puts rows into a table that goes with the connection."""
        with self._connection.cursor() as cursor:
            cursor.adbc_ingest(table, rows, mode="create", temporary=True)

    def _execute(self, statement: str, *values: object) -> None:
        with self._connection.cursor() as cursor:
            cursor.execute(statement, values)


@contextmanager
def transaction(settings: Settings, contract: Contract) -> Iterator[Warehouse]:
    """A transaction as the loader: committed at the end of the block, undone when it fails.

    Raises:
        TransientError: the server does not answer, or was interrupted; loading again settles what became of it.
        TerminalError: the server refuses.
    """
    try:
        connection = dbapi.connect(uri(settings, "loader"))
    except AdbcError as error:
        raise refusal(settings, "loader", error) from error
    try:
        with connection:
            yield Warehouse(connection, contract)
            connection.commit()
    except AdbcError as error:
        raise _fault(contract, error) from error


def _counts(batch: Batch) -> dict[tuple[str, int, bool], int]:
    """Rows per topic id, partition and whether they fit."""
    places = batch.rows.select(["topic_id", "partition"]).append_column("fits", batch.columns.fits)
    found = places.group_by(["topic_id", "partition", "fits"]).aggregate([([], "count_all")]).to_pylist()
    return {(each["topic_id"], each["partition"], each["fits"]): each["count_all"] for each in found}


def _fault(contract: Contract, error: AdbcError) -> SluiceError:
    state = error.sqlstate or ""
    what = f"load of {contract.stream}: Postgres: {' '.join(str(error).split())}"
    if not state or state.startswith(_PASSING):
        return TransientError(what, "nothing of this group is loaded; the next try loads it")
    return TerminalError(what, "nothing of this group is loaded")
