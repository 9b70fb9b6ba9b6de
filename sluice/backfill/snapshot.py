"""A snapshot of some dates: rows and checksums of raw tables and marts, and the number of quarantined records."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, cast

import psycopg
from psycopg import sql

from sluice.contracts import Contract
from sluice.settings import Settings
from sluice.warehouse import checksum, connect
from sluice.warehouse.checksum import Checksum

MARTS_BEFORE, MARTS_AFTER = timedelta(days=2), timedelta(days=1)
"""How far a marts date can be from the UTC date of its events: marts use the scheduled date in New York."""

_HASHES = "md5"
"""How the checksums were computed. Those of another release cannot be compared with today's."""
LedgerPosition = tuple[str, int, int]
"""A topic id, a partition and the ledger's next offset."""


@dataclass(frozen=True)
class Snapshot:
    """Figures by stream or table, then by date. Dates without rows are left out; None stands for undated tables."""

    ledger_positions: dict[str, list[LedgerPosition]]
    raw: dict[str, dict[date, Checksum]]
    quarantined: dict[str, dict[date, int]]
    marts: dict[str, dict[date | None, Checksum]]

    def fields(self) -> dict[str, Any]:
        """Returns the snapshot in a form that JSON can hold."""
        return {
            "hashes": _HASHES,
            "heads": self.ledger_positions,
            "raw": {stream: _checksum_fields(days) for stream, days in self.raw.items()},
            "quarantined": {
                stream: {str(day): count for day, count in days.items()} for stream, days in self.quarantined.items()
            },
            "marts": {table: _checksum_fields(days) for table, days in self.marts.items()},
        }

    @classmethod
    def of(cls, fields: dict[str, Any]) -> "Snapshot":
        """Returns the snapshot that ``fields`` was called on.

        Raises:
            ValueError, KeyError: another release has written it.
        """
        if fields["hashes"] != _HASHES:
            raise ValueError(f"checksums of the kind {fields['hashes']}")
        return cls(
            {
                stream: [(topic_id, partition, next_offset) for topic_id, partition, next_offset in positions]
                for stream, positions in fields["heads"].items()
            },
            {
                stream: {date.fromisoformat(day): Checksum(*checksum) for day, checksum in days.items()}
                for stream, days in fields["raw"].items()
            },
            {
                stream: {date.fromisoformat(day): count for day, count in days.items()}
                for stream, days in fields["quarantined"].items()
            },
            {
                table: {date.fromisoformat(day) if day else None: Checksum(*checksum) for day, checksum in days.items()}
                for table, days in fields["marts"].items()
            },
        )


def take_snapshot(settings: Settings, contracts: Iterable[Contract], first: date, last: date) -> Snapshot:
    """Returns a consistent snapshot of a range of event dates (UTC, both ends included).

    Raises:
        TransientError, TerminalError: the warehouse is down or rejects a query.
    """
    ledger_positions: dict[str, list[LedgerPosition]] = {}
    raw: dict[str, dict[date, Checksum]] = {}
    quarantined: dict[str, dict[date, int]] = {}
    with connect(settings, "reader") as warehouse:
        warehouse.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        for contract in contracts:
            stream = contract.stream
            positions = warehouse.execute(
                "select topic_id, partition, next_offset from ops.ledger_ends where stream = %s", (stream,)
            )
            ledger_positions[stream] = [
                (str(topic_id), int(str(partition)), int(str(next_offset)))
                for topic_id, partition, next_offset in positions
            ]
            raw[stream] = checksum.raw(warehouse, contract, first, last)
            quarantined[stream] = _counts(
                warehouse.execute(
                    "select event_date, count(*) from raw.quarantine"
                    " where stream = %s and event_date between %s and %s group by 1",
                    (stream, first, last),
                )
            )
        marts = checksum.marts(warehouse, first - MARTS_BEFORE, last + MARTS_AFTER)
    return Snapshot(ledger_positions, raw, quarantined, marts)


def count_arrivals(
    settings: Settings, contracts: Iterable[Contract], since: Snapshot, first: date, last: date
) -> dict[str, dict[date, int]]:
    """Counts the records per stream and event date that loads have added since a snapshot, to raw or to quarantine.

    Raises:
        TransientError, TerminalError: as ``take_snapshot``.
    """
    arrivals: dict[str, dict[date, int]] = {}
    with connect(settings, "reader") as warehouse:
        for contract in contracts:
            query = sql.SQL(
                "with ledger as ("
                " select * from unnest(%s::text[], %s::int[], %s::bigint[]) as t (topic_id, partition, next_offset))"
                " select event_date, count(*) from ("
                "  select _event_date as event_date, _topic_id as topic_id, _partition as partition,"
                '  _offset as "offset"'
                "  from {} where _event_date between %s and %s"
                '  union all select event_date, topic_id, partition, "offset" from raw.quarantine'
                "  where stream = %s and event_date between %s and %s"
                " ) as rows left join ledger using (topic_id, partition)"
                ' where "offset" >= coalesce(next_offset, 0) group by 1'
            ).format(sql.Identifier("raw", contract.table))
            positions = since.ledger_positions[contract.stream]
            columns = tuple([position[index] for position in positions] for index in range(3))
            values = (*columns, first, last, contract.stream, first, last)
            arrivals[contract.stream] = _counts(warehouse.execute(query, values))
    return arrivals


def _checksum_fields(days: "dict[date, Checksum] | dict[date | None, Checksum]") -> dict[str, list[object]]:
    return {str(day) if day else "": [checksum.rows, checksum.hash] for day, checksum in days.items()}


def _counts(rows: Iterable[tuple[object, ...]]) -> dict[date, int]:
    return {cast(date, day): int(str(count)) for day, count in rows}
