"""Reloads a date: deletes its rows below the ledger's end, writes them again, and compares them with the old ones."""

import json
from collections import Counter
from datetime import date, datetime

from psycopg import sql

from sluice.contracts import Contract
from sluice.lake.ranges import Range
from sluice.load.batch import Drift
from sluice.load.transaction import Warehouse
from sluice.warehouse.alterations import METADATA_COLUMNS

# In one statement, so that drift added by later loads concerns only rows beyond these offsets.
_LEDGER_AND_DRIFT = (
    "select coalesce((select jsonb_agg(ends) from"
    " (select topic_id, partition, next_offset from ops.ledger_ends where stream = $1) ends), '[]')::text,"
    " coalesce((select jsonb_object_agg(field, rows) from ops.drift where stream = $1 and event_date = $2), '{}')::text"
)
_BELOW = sql.SQL(
    "jsonb_to_recordset($2::jsonb) as ledger (topic_id text, partition integer, next_offset bigint)"
    " where t.{} = $1 and t.{} = ledger.topic_id and t.{} = ledger.partition and t.{} < ledger.next_offset"
)
_BELOW_RAW = _BELOW.format(*map(sql.Identifier, ("_event_date", "_topic_id", "_partition", "_offset")))
_BELOW_QUARANTINE = sql.SQL("{} and t.stream = $3").format(
    _BELOW.format(*map(sql.Identifier, ("event_date", "topic_id", "partition", "offset")))
)
_QUARANTINE = ("stream", "topic_id", "partition", "offset", "event_date", "timestamp", "key", "value", "reason")
# A sum, so that the order of rows does not matter.
_FINGERPRINT = sql.SQL(
    "select count(*), coalesce(sum(hash_record_extended(row({columns}), 0)), 0)::text from {rows} as t"
)
_DELETED = sql.SQL("with deleted as (delete from {table} as t using {below} returning t.*) {then}")

Fingerprint = tuple[object, ...]
"""Counts and hashes of a date's raw and quarantined rows: equal fingerprints mean equal rows."""


class Reload:
    """The reload of one date within a transaction.

    Other reloads of the date wait. Loads wait only for ``update_date_stats``.
    """

    def __init__(self, warehouse: Warehouse, contract: Contract, day: date) -> None:
        self._warehouse = warehouse
        self._contract = contract
        self._day = day
        raw = [
            *(column.name for column in contract.columns),
            *(name for name in METADATA_COLUMNS if name != "_loaded_at"),
        ]
        self._parts = {
            "table": sql.Identifier("raw", contract.table),
            "raw": sql.SQL(", ").join(sql.Identifier("t", name) for name in raw),
            "quarantined": sql.SQL(", ").join(sql.Identifier("t", name) for name in _QUARANTINE),
        }
        warehouse.lock_date(day)
        ledger_ends, drift = warehouse.query(_LEDGER_AND_DRIFT, contract.stream, day)[0]
        self._ledger_ends = ledger_ends
        self._drift: Counter[str] = Counter(json.loads(drift))

    @property
    def ranges(self) -> list[Range]:
        """The offsets that are reloaded: all that the ledger had."""
        return [
            Range(end["topic_id"], end["partition"], 0, end["next_offset"])
            for end in json.loads(self._ledger_ends)
            if end["next_offset"]
        ]

    def delete_rows(self) -> Fingerprint:
        """Deletes the rows and returns their fingerprint."""
        where = (self._day, self._ledger_ends)
        raw = _DELETED.format(
            table=self._parts["table"],
            below=_BELOW_RAW,
            then=_FINGERPRINT.format(columns=self._parts["raw"], rows=sql.SQL("deleted")),
        )
        quarantined = _DELETED.format(
            table=sql.SQL("raw.quarantine"),
            below=_BELOW_QUARANTINE,
            then=sql.SQL("insert into pg_temp.deleted_quarantine select * from deleted"),
        )
        self._warehouse.execute("create temporary table deleted_quarantine (like raw.quarantine) on commit drop")
        raw_fingerprint = self._warehouse.query(raw, *where)[0]
        self._warehouse.execute(quarantined, *where, self._contract.stream)
        query = _FINGERPRINT.format(columns=self._parts["quarantined"], rows=sql.SQL("pg_temp.deleted_quarantine"))
        return *raw_fingerprint, *self._warehouse.query(query)[0]

    def fingerprint(self) -> Fingerprint:
        """Returns the fingerprint of the rows as they are now."""
        fingerprint: list[object] = []
        for columns, rows, below, values in (
            ("raw", self._parts["table"], _BELOW_RAW, ()),
            ("quarantined", sql.SQL("raw.quarantine"), _BELOW_QUARANTINE, (self._contract.stream,)),
        ):
            all_rows = sql.SQL("(select t.* from {} as t, {})").format(rows, below)
            query = _FINGERPRINT.format(columns=self._parts[columns], rows=all_rows)
            fingerprint += self._warehouse.query(query, self._day, self._ledger_ends, *values)[0]
        return tuple(fingerprint)

    def log_released(self) -> None:
        """Logs the records that were in quarantine and are in raw now."""
        statement = sql.SQL(
            "insert into ops.quarantine_log"
            ' (stream, topic_id, partition, "offset", event_date, reason, action, note, done_by)'
            ' select q.stream, q.topic_id, q.partition, q."offset", q.event_date, q.reason,'
            " 'reloaded', 'valid under the current contract', 'reload'"
            " from pg_temp.deleted_quarantine as q"
            " join {} as t on t._event_date = q.event_date and t._topic_id = q.topic_id"
            ' and t._partition = q.partition and t._offset = q."offset"'
        ).format(self._parts["table"])
        self._warehouse.execute(statement)

    def update_date_stats(self, drift: Drift, changed: bool, now: datetime) -> None:
        """Updates the date's statistics and drift. Call it last: from here on, loads of the date wait.

        Args:
            drift: of the reloaded rows.
            changed: whether the rows differ from those before the reload.
            now: time of the reload.
        """
        key = (self._contract.stream, self._day)
        self._warehouse.execute(
            "insert into ops.dates (stream, event_date, rows, quarantined, late, after_close, version, loaded_at)"
            " values ($1, $2, 0, 0, 0, 0, 0, $3) on conflict do nothing",
            *key,
            now,
        )
        # Each statement sees what was committed before it; this one locks the date's row.
        self._warehouse.execute("select from ops.dates where stream = $1 and event_date = $2 for update", *key)
        count = sql.SQL(
            "update ops.dates set rows = (select count(*) from {} where _event_date = $2),"
            " quarantined = (select count(*) from raw.quarantine where stream = $1 and event_date = $2),"
            " version = version + $3, loaded_at = case when $3 > 0 then $4 else loaded_at end"
            " where stream = $1 and event_date = $2"
        ).format(self._parts["table"])
        self._warehouse.execute(count, *key, int(changed), now)
        self._warehouse.execute(
            "delete from ops.dates where stream = $1 and event_date = $2 and version = 0"
            " and rows = 0 and quarantined = 0",
            *key,
        )
        current = self._warehouse.query("select field, rows from ops.drift where stream = $1 and event_date = $2", *key)
        total = drift + Counter({(self._day, field): rows - self._drift[field] for field, rows in current})
        if total or current:
            self._warehouse.execute("delete from ops.drift where stream = $1 and event_date = $2", *key)
            self._warehouse.add_date_stats({}, total, now)
