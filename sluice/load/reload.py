"""A date rewritten: its rows below the ledger's heads taken out, brought again, and compared with what was there."""

import json
from collections import Counter
from datetime import date, datetime

from psycopg import sql

from sluice.contracts import Contract
from sluice.lake.ranges import Range
from sluice.load.batch import Drift
from sluice.load.transaction import LEDGER_ENDS, Warehouse
from sluice.warehouse.schema import PLACE_COLUMNS

# In one statement: what loads add to the drift after it is of rows beyond these heads.
_KNOWN = LEDGER_ENDS.format(
    query=sql.SQL(
        "select coalesce((select jsonb_agg(ends) from ends), '[]')::text,"
        " coalesce((select jsonb_object_agg(field, rows) from ops.drift where stream = $1 and event_date = $2), '{}')"
        "::text"
    )
)
_BELOW = sql.SQL(
    "jsonb_to_recordset($2::jsonb) as head (topic_id text, partition integer, next_offset bigint)"
    " where t.{} = $1 and t.{} = head.topic_id and t.{} = head.partition and t.{} < head.next_offset"
)
_BELOW_RAW = _BELOW.format(*map(sql.Identifier, ("_event_date", "_topic_id", "_partition", "_offset")))
_BELOW_QUARANTINE = sql.SQL("{} and t.stream = $3").format(
    _BELOW.format(*map(sql.Identifier, ("event_date", "topic_id", "partition", "offset")))
)
_QUARANTINE = ("stream", "topic_id", "partition", "offset", "event_date", "timestamp", "key", "value", "reason")
# The order of rows does not matter: it is a sum.
_FINGERPRINT = sql.SQL(
    "select count(*), coalesce(sum(hash_record_extended(row({columns}), 0)), 0)::text from {rows} as t"
)
_DELETED = sql.SQL("with gone as (delete from {table} as t using {below} returning t.*) {then}")

Fingerprint = tuple[object, ...]
"""Tells whether a date's rows are the same: counts and hashes of raw and quarantined ones."""


class Reload:
    """The rewriting of one date within a transaction. Others that rewrite it wait; loads do not, but for ``settle``."""

    def __init__(self, warehouse: Warehouse, contract: Contract, day: date) -> None:
        self._warehouse = warehouse
        self._contract = contract
        self._day = day
        raw = [*(column.name for column in contract.columns), *(name for name in PLACE_COLUMNS if name != "_loaded_at")]
        self._parts = {
            "table": sql.Identifier("raw", contract.table),
            "raw": sql.SQL(", ").join(sql.Identifier("t", name) for name in raw),
            "quarantined": sql.SQL(", ").join(sql.Identifier("t", name) for name in _QUARANTINE),
        }
        warehouse.lock_date(day)
        ends, drift = warehouse.query(_KNOWN, contract.stream, day)[0]
        self._ends = ends
        self._drift: Counter[str] = Counter(json.loads(drift))

    @property
    def ranges(self) -> list[Range]:
        """The offsets that are rewritten: all that the ledger had."""
        ends = [(each["topic_id"], each["partition"], each["next_offset"]) for each in json.loads(self._ends)]
        return [Range(topic_id, partition, 0, head) for topic_id, partition, head in ends if head]

    def clear(self) -> Fingerprint:
        """Takes the rows out, and says what they were."""
        where = (self._day, self._ends)
        raw = _DELETED.format(
            table=self._parts["table"],
            below=_BELOW_RAW,
            then=_FINGERPRINT.format(columns=self._parts["raw"], rows=sql.SQL("gone")),
        )
        aside = _DELETED.format(
            table=sql.SQL("raw.quarantine"),
            below=_BELOW_QUARANTINE,
            then=sql.SQL("insert into pg_temp.aside select * from gone"),
        )
        self._warehouse.execute("create temporary table aside (like raw.quarantine) on commit drop")
        found = self._warehouse.query(raw, *where)
        self._warehouse.execute(aside, *where, self._contract.stream)
        held = _FINGERPRINT.format(columns=self._parts["quarantined"], rows=sql.SQL("pg_temp.aside"))
        return *found[0], *self._warehouse.query(held)[0]

    def fingerprint(self) -> Fingerprint:
        """What the rows are now."""
        found: list[object] = []
        for columns, rows, below, values in (
            ("raw", self._parts["table"], _BELOW_RAW, ()),
            ("quarantined", sql.SQL("raw.quarantine"), _BELOW_QUARANTINE, (self._contract.stream,)),
        ):
            all_rows = sql.SQL("(select t.* from {} as t, {})").format(rows, below)
            query = _FINGERPRINT.format(columns=self._parts[columns], rows=all_rows)
            found += self._warehouse.query(query, self._day, self._ends, *values)[0]
        return tuple(found)

    def log_released(self) -> None:
        """Notes the records that were in quarantine, and are in raw now."""
        statement = sql.SQL(
            "insert into ops.quarantine_log"
            ' (stream, topic_id, partition, "offset", event_date, reason, action, note, done_by)'
            ' select q.stream, q.topic_id, q.partition, q."offset", q.event_date, q.reason,'
            " 'reloaded', 'fits its contract now', 'reload'"
            " from pg_temp.aside as q join {} as t on t._event_date = q.event_date and t._topic_id = q.topic_id"
            ' and t._partition = q.partition and t._offset = q."offset"'
        ).format(self._parts["table"])
        self._warehouse.execute(statement)

    def settle(self, drift: Drift, changed: bool, now: datetime) -> None:
        """Brings what is known of the date up to date. To be called last: loads of the date wait from here on.

        Args:
            drift: of the rewritten rows.
            changed: whether the rows are others than before.
            now: when.
        """
        place = (self._contract.stream, self._day)
        self._warehouse.execute(
            "insert into ops.dates (stream, event_date, rows, quarantined, late, after_close, version, loaded_at)"
            " values ($1, $2, 0, 0, 0, 0, 0, $3) on conflict do nothing",
            *place,
            now,
        )
        # Each statement sees what was committed before it; from this one on, nobody else changes the date's row.
        self._warehouse.execute("select from ops.dates where stream = $1 and event_date = $2 for update", *place)
        count = sql.SQL(
            "update ops.dates set rows = (select count(*) from {} where _event_date = $2),"
            " quarantined = (select count(*) from raw.quarantine where stream = $1 and event_date = $2),"
            " version = version + $3, loaded_at = case when $3 > 0 then $4 else loaded_at end"
            " where stream = $1 and event_date = $2"
        ).format(self._parts["table"])
        self._warehouse.execute(count, *place, int(changed), now)
        self._warehouse.execute(
            "delete from ops.dates where stream = $1 and event_date = $2 and version = 0"
            " and rows = 0 and quarantined = 0",
            *place,
        )
        since = self._warehouse.query("select field, rows from ops.drift where stream = $1 and event_date = $2", *place)
        total = drift + Counter({(self._day, field): rows - self._drift[field] for field, rows in since})
        if total or since:
            self._warehouse.execute("delete from ops.drift where stream = $1 and event_date = $2", *place)
            self._warehouse.add_dates({}, total, now)
