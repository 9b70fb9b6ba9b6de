"""The figures of some dates at one moment: rows and checksums of raw tables and marts, and what is in quarantine."""

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

BEFORE, AFTER = timedelta(days=2), timedelta(days=1)
"""How far the marts' rows can lie from the UTC date of their events: they go by the day in New York of the schedule."""

Place = tuple[str, int, int]
"""A topic's id, a partition and the ledger's next offset."""


@dataclass(frozen=True)
class Snapshot:
    """By stream or table, then by date. Dates without rows are left out; None is the date of tables that have none."""

    heads: dict[str, list[Place]]
    raw: dict[str, dict[date, Checksum]]
    quarantined: dict[str, dict[date, int]]
    marts: dict[str, dict[date | None, Checksum]]

    def fields(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {
            "heads": self.heads,
            "raw": {stream: _written(days) for stream, days in self.raw.items()},
            "quarantined": {
                stream: {str(day): n for day, n in days.items()} for stream, days in self.quarantined.items()
            },
            "marts": {table: _written(days) for table, days in self.marts.items()},
        }

    @classmethod
    def of(cls, fields: dict[str, Any]) -> "Snapshot":
        """From what ``fields`` gave."""
        return cls(
            {stream: [(each[0], each[1], each[2]) for each in heads] for stream, heads in fields["heads"].items()},
            {
                stream: {date.fromisoformat(day): Checksum(*each) for day, each in days.items()}
                for stream, days in fields["raw"].items()
            },
            {
                stream: {date.fromisoformat(day): n for day, n in days.items()}
                for stream, days in fields["quarantined"].items()
            },
            {
                table: {date.fromisoformat(day) if day else None: Checksum(*each) for day, each in days.items()}
                for table, days in fields["marts"].items()
            },
        )


def take(settings: Settings, contracts: Iterable[Contract], first: date, last: date) -> Snapshot:
    """The figures of a range of event dates (UTC, both ends included), all of the same moment.

    Raises:
        TransientError, TerminalError: the warehouse does not answer, or refuses.
    """
    heads: dict[str, list[Place]] = {}
    raw: dict[str, dict[date, Checksum]] = {}
    quarantined: dict[str, dict[date, int]] = {}
    with connect(settings, "reader") as warehouse:
        warehouse.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        for contract in contracts:
            stream = contract.stream
            found = warehouse.execute(
                "select topic_id, partition, max(next_offset) from ops.loads where stream = %s group by 1, 2",
                (stream,),
            )
            heads[stream] = [(str(topic), int(str(partition)), int(str(head))) for topic, partition, head in found]
            raw[stream] = checksum.raw(warehouse, contract, first, last)
            quarantined[stream] = _counts(
                warehouse.execute(
                    "select event_date, count(*) from raw.quarantine"
                    " where stream = %s and event_date between %s and %s group by 1",
                    (stream, first, last),
                )
            )
        marts = checksum.marts(warehouse, first - BEFORE, last + AFTER)
    return Snapshot(heads, raw, quarantined, marts)


def arrived(
    settings: Settings, contracts: Iterable[Contract], since: Snapshot, first: date, last: date
) -> dict[str, dict[date, int]]:
    """Records per stream and event date that loads have brought since a snapshot, to raw or to quarantine.

    Raises:
        TransientError, TerminalError: as ``take``.
    """
    found: dict[str, dict[date, int]] = {}
    with connect(settings, "reader") as warehouse:
        for contract in contracts:
            query = sql.SQL(
                "with heads as ("
                " select * from unnest(%s::text[], %s::int[], %s::bigint[]) as t (topic_id, partition, head))"
                " select event_date, count(*) from ("
                "  select _event_date as event_date, _topic_id as topic_id, _partition as partition, _offset as place"
                "  from {} where _event_date between %s and %s"
                '  union all select event_date, topic_id, partition, "offset" from raw.quarantine'
                "  where stream = %s and event_date between %s and %s"
                " ) as rows left join heads using (topic_id, partition) where place >= coalesce(head, 0) group by 1"
            ).format(sql.Identifier("raw", contract.table))
            heads = since.heads[contract.stream]
            places = tuple([place[part] for place in heads] for part in range(3))
            values = (*places, first, last, contract.stream, first, last)
            found[contract.stream] = _counts(warehouse.execute(query, values))
    return found


def _written(days: "dict[date, Checksum] | dict[date | None, Checksum]") -> dict[str, list[object]]:
    return {str(day) if day else "": [each.rows, each.hash] for day, each in days.items()}


def _counts(rows: Iterable[tuple[object, ...]]) -> dict[date, int]:
    return {cast(date, day): int(str(count)) for day, count in rows}
