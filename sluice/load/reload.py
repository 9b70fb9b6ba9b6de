"""Reloads a date: deletes its rows below the ledger's end, writes them again, and compares them with the old ones.

A date's rows come from one or more dates of the lake, because a record's timestamp need not be its event's time.
Each of these dates of the lake is reloaded as a whole, whatever event dates its rows have: so each record is written
once, also when a change of the contract moves it to another event date.
"""

import json
from collections import Counter
from collections.abc import Collection
from datetime import date, datetime

from psycopg import sql

from sluice.contracts import Contract
from sluice.lake.ranges import Range
from sluice.load.batch import Drift
from sluice.load.transaction import Warehouse
from sluice.warehouse.alterations import declared_columns

# In one statement, so that drift added by later loads concerns only rows beyond these offsets.
_LEDGER_AND_DRIFT = (
    "select coalesce((select jsonb_agg(ends) from"
    " (select topic_id, partition, next_offset from ops.ledger_ends where stream = $1) ends), '[]')::text,"
    " coalesce((select jsonb_agg(jsonb_build_array(event_date, field, rows)) from ops.drift"
    " where stream = $1 and event_date = any($2)), '[]')::text"
)
# Not as coalesce(), for which there is no index.
_IN_RAW_DATES = sql.SQL("(t._lake_date = any($1) or (t._lake_date is null and t._event_date = any($1)))")
_BELOW_RAW = sql.SQL(
    "jsonb_to_recordset($2::jsonb) as ledger (topic_id text, partition integer, next_offset bigint)"
    " where {} and t._topic_id = ledger.topic_id and t._partition = ledger.partition"
    " and t._offset < ledger.next_offset"
).format(_IN_RAW_DATES)
_BELOW_QUARANTINE = sql.SQL(
    "jsonb_to_recordset($2::jsonb) as ledger (topic_id text, partition integer, next_offset bigint)"
    " where t.stream = $3 and t.event_date = any($1) and t.topic_id = ledger.topic_id"
    ' and t.partition = ledger.partition and t."offset" < ledger.next_offset'
)
_QUARANTINE = ("stream", "topic_id", "partition", "offset", "event_date", "timestamp", "key", "value", "reason")
# A sum, so that the order of rows does not matter.
_FINGERPRINT = sql.SQL(
    "select t.{event_date}, count(*), sum(hash_record_extended(row({columns}), 0))::text from {rows} as t group by 1"
)
_DELETED = sql.SQL("with deleted as (delete from {table} as t using {below} returning t.*) {then}")

Fingerprints = dict[date, tuple[object, ...]]
"""Counts and hashes of raw and quarantined rows by event date: equal fingerprints mean equal rows."""


class Reload:
    """The reload of one date within a transaction.

    Reloads that share a date of the lake wait for each other. Loads wait only for ``update_date_stats``.
    """

    def __init__(self, warehouse: Warehouse, contract: Contract, day: date) -> None:
        self._warehouse = warehouse
        self._contract = contract
        raw = [name for name in declared_columns(contract) if name != "_loaded_at"]
        self._raw = sql.Identifier("raw", contract.table)
        self._raw_columns = sql.SQL(", ").join(sql.Identifier("t", name) for name in raw)
        self._quarantine_columns = sql.SQL(", ").join(sql.Identifier("t", name) for name in _QUARANTINE)
        sources = warehouse.query(
            "select lake_date from ops.date_sources where stream = $1 and event_date = $2", contract.stream, day
        )
        self.lake_dates = sorted({day, *(lake_date for (lake_date,) in sources)})
        """The dates of the lake that are reloaded."""
        warehouse.lock_dates(self.lake_dates)
        ledger_ends, drift = warehouse.query(_LEDGER_AND_DRIFT, contract.stream, self.lake_dates)[0]
        self._ledger_ends = ledger_ends
        self._drift: Drift = Counter({(date.fromisoformat(day), name): rows for day, name, rows in json.loads(drift)})

    @property
    def ranges(self) -> list[Range]:
        """The offsets that are reloaded: all that the ledger had."""
        return [
            Range(end["topic_id"], end["partition"], 0, end["next_offset"])
            for end in json.loads(self._ledger_ends)
            if end["next_offset"]
        ]

    def delete_rows(self) -> Fingerprints:
        """Deletes the rows and returns their fingerprints."""
        where = (self.lake_dates, self._ledger_ends)
        raw = _DELETED.format(table=self._raw, below=_BELOW_RAW, then=self._fingerprint("raw", sql.SQL("deleted")))
        quarantined = _DELETED.format(
            table=sql.SQL("raw.quarantine"),
            below=_BELOW_QUARANTINE,
            then=sql.SQL("insert into pg_temp.deleted_quarantine select * from deleted"),
        )
        self._warehouse.execute("create temporary table deleted_quarantine (like raw.quarantine) on commit drop")
        raw_rows = self._warehouse.query(raw, *where)
        self._warehouse.execute(quarantined, *where, self._contract.stream)
        query = self._fingerprint("quarantine", sql.SQL("pg_temp.deleted_quarantine"))
        return _combine(raw_rows, self._warehouse.query(query))

    def fingerprints(self) -> Fingerprints:
        """Returns the fingerprints of the rows as they are now."""
        where = (self.lake_dates, self._ledger_ends)
        rows = sql.SQL("(select t.* from {} as t, {})")
        raw = self._fingerprint("raw", rows.format(self._raw, _BELOW_RAW))
        quarantine = self._fingerprint("quarantine", rows.format(sql.SQL("raw.quarantine"), _BELOW_QUARANTINE))
        return _combine(
            self._warehouse.query(raw, *where), self._warehouse.query(quarantine, *where, self._contract.stream)
        )

    def _fingerprint(self, table: str, rows: sql.Composable) -> sql.Composed:
        if table == "raw":
            return _FINGERPRINT.format(event_date=sql.Identifier("_event_date"), columns=self._raw_columns, rows=rows)
        return _FINGERPRINT.format(event_date=sql.Identifier("event_date"), columns=self._quarantine_columns, rows=rows)

    def log_released(self) -> None:
        """Logs the records that were in quarantine and are in raw now."""
        statement = sql.SQL(
            "insert into ops.quarantine_log"
            ' (stream, topic_id, partition, "offset", event_date, reason, action, note, done_by)'
            ' select q.stream, q.topic_id, q.partition, q."offset", q.event_date, q.reason,'
            " 'reloaded', 'valid under the current contract', 'reload'"
            " from pg_temp.deleted_quarantine as q"
            " join {} as t on {} and t._topic_id = q.topic_id"
            ' and t._partition = q.partition and t._offset = q."offset"'
        ).format(self._raw, _IN_RAW_DATES)
        self._warehouse.execute(statement, self.lake_dates)

    def update_date_stats(self, days: Collection[date], changed: Collection[date], drift: Drift, now: datetime) -> None:
        """Updates the statistics of the event dates, and the drift. Call it last: from here on, loads wait.

        Args:
            days: the event dates that had or have any of the rows.
            changed: those whose rows differ from those before the reload.
            drift: of the reloaded rows.
            now: time of the reload.
        """
        stream, dates = self._contract.stream, sorted(days)
        self._warehouse.lock()
        self._warehouse.execute(
            "insert into ops.dates (stream, event_date, rows, quarantined, late, after_close, version, loaded_at)"
            " select $1, day, 0, 0, 0, 0, 0, $3 from unnest($2::date[]) as day order by day on conflict do nothing",
            stream,
            dates,
            now,
        )
        # Each statement sees what was committed before it.
        count = sql.SQL(
            "update ops.dates as known set rows = coalesce(valid.rows, 0),"
            " quarantined = coalesce(invalid.rows, 0), version = version + (day = any($3))::integer,"
            " loaded_at = case when day = any($3) then $4 else loaded_at end"
            " from unnest($2::date[]) as day"
            " left join (select _event_date, count(*) as rows from {} where _event_date = any($2) group by 1) as valid"
            " on valid._event_date = day"
            " left join (select event_date, count(*) as rows from raw.quarantine"
            " where stream = $1 and event_date = any($2) group by 1) as invalid on invalid.event_date = day"
            " where known.stream = $1 and known.event_date = day"
        ).format(self._raw)
        self._warehouse.execute(count, stream, dates, sorted(changed), now)
        self._warehouse.execute(
            "delete from ops.dates where stream = $1 and event_date = any($2) and version = 0"
            " and rows = 0 and quarantined = 0",
            stream,
            dates,
        )
        self._warehouse.execute(
            "delete from ops.date_sources where stream = $1 and lake_date = any($2)", stream, self.lake_dates
        )
        recount = sql.SQL(
            "insert into ops.date_sources (stream, event_date, lake_date, rows)"
            " select $1, _event_date, _lake_date, count(*) from {} where _lake_date = any($2) group by 2, 3"
        ).format(self._raw)
        self._warehouse.execute(recount, stream, self.lake_dates)
        current = self._warehouse.query(
            "select event_date, field, rows from ops.drift where stream = $1 and event_date = any($2)",
            stream,
            self.lake_dates,
        )
        later = {(day, name): rows - self._drift[day, name] for day, name, rows in current}
        total = drift + Counter(later)
        if total or current:
            self._warehouse.execute(
                "delete from ops.drift where stream = $1 and event_date = any($2)", stream, self.lake_dates
            )
            self._warehouse.add_date_stats({}, total, now)


def _combine(raw: list[tuple[date, int, str]], quarantined: list[tuple[date, int, str]]) -> Fingerprints:
    """Returns fingerprints from rows of an event date, a count and a hash."""
    in_raw, in_quarantine = ({day: (count, total) for day, count, total in rows} for rows in (raw, quarantined))
    none = (0, "0")
    return {day: (*in_raw.get(day, none), *in_quarantine.get(day, none)) for day in in_raw.keys() | in_quarantine}
