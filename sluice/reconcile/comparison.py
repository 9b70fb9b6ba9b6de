"""The proof: Kafka's offsets, the lake's commits, the warehouse's rows and its quarantine, compared at one cut.

The cut is where Kafka ended when the comparison began. What comes after it does not count, so that the proof can be
made while events flow; what came before it must be everywhere, exactly once.
"""

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import cast

import pyarrow.compute as pc
from psycopg import sql

from sluice.contracts import Contract
from sluice.kafka.topics import kafka_ranges
from sluice.lake.layout import PARTITION_COLUMN, empty_id, transaction_id
from sluice.lake.ranges import PartitionKey, Range, within
from sluice.lake.reader import LakeReader
from sluice.reconcile.report import DateRow, Reconciliation
from sluice.settings import Settings
from sluice.warehouse import connect
from sluice.warehouse.dates import DateStatus, drift, statuses

log = logging.getLogger(__name__)

Tally = dict[tuple[str, int, date], tuple[int, int]]
"""Per topic id, partition and event date: rows, and the sum of their offsets."""


@dataclass(frozen=True)
class _Warehouse:
    """A stream in the warehouse, at one moment."""

    raw: Tally
    """Below the cut; so is the next."""
    quarantined: Tally
    totals: dict[date, tuple[int, int]]
    """Per date: all rows in raw, and all in quarantine."""
    known: dict[date, DateStatus]
    drift: dict[str, int]


def reconcile(settings: Settings, contracts: dict[str, Contract], patience: float = 300.0) -> Reconciliation:
    """Compares all streams at one cut.

    Args:
        settings: where the servers are.
        contracts: the streams.
        patience: seconds to wait for what is in flight, which periodic loads bring; what has not arrived by then is
            reported as a disagreement.

    Raises:
        TransientError, TerminalError: a server does not answer, or refuses.
    """
    result = Reconciliation()
    cut: dict[str, dict[PartitionKey, tuple[int, int]]] = {stream: {} for stream in contracts}
    for held in kafka_ranges(settings, list(contracts)):
        cut[held.stream][held.topic_id, held.partition] = (held.start, held.end)
    _wait(settings, cut, patience)
    for stream, contract in contracts.items():
        _compare(settings, contract, cut[stream], result)
    with connect(settings, "reader") as warehouse:
        pending = warehouse.execute(
            "select count(distinct (stream, event_date)) from ops.touched_dates where built_at is null"
        ).fetchone()
        result.unbuilt = int(str(pending[0])) if pending else 0
    return result


def reconcile_loaded(settings: Settings, contracts: dict[str, Contract]) -> Reconciliation:
    """Compares lake and warehouse as far as the ledger goes; what is still on its way does not count.

    Raises:
        TransientError, TerminalError: as ``reconcile``.
    """
    result = Reconciliation()
    for contract in contracts.values():
        _compare(settings, contract, {}, result)
    return result


def _wait(settings: Settings, cut: dict[str, dict[PartitionKey, tuple[int, int]]], patience: float) -> None:
    deadline = time.monotonic() + patience
    told = 0
    while True:
        heads = _ledger_heads(settings)
        flying = sum(
            max(end - heads.get(stream, {}).get(place, 0), 0)
            for stream, places in cut.items()
            for place, (_, end) in places.items()
        )
        if not flying or time.monotonic() > deadline:
            return
        if flying != told:
            log.info("%d events are in flight; the next loads bring them", flying)
            told = flying
        time.sleep(1.0)


def _ledger_heads(settings: Settings) -> dict[str, dict[PartitionKey, int]]:
    """The ledger's next offset per stream and place, of places that have any."""
    heads: dict[str, dict[PartitionKey, int]] = {}
    with connect(settings, "reader") as warehouse:
        for stream, topic_id, partition, head in warehouse.execute(
            "select stream, topic_id, partition, max(next_offset) from ops.loads group by 1, 2, 3"
        ):
            if head:
                heads.setdefault(str(stream), {})[str(topic_id), int(str(partition))] = int(str(head))
    return heads


def _compare(
    settings: Settings, contract: Contract, kafka: Mapping[PartitionKey, tuple[int, int]], result: Reconciliation
) -> None:
    stream = contract.stream
    heads = _ledger_heads(settings).get(stream, {})
    # A topic that is gone from Kafka is compared as far as the ledger goes.
    ends = heads | {place: end for place, (_, end) in kafka.items() if end}
    lake_tally, lake_count = _lake(settings, stream, ends, result)
    warehouse = _warehouse(settings, contract, ends)
    raw, quarantined = warehouse.raw, warehouse.quarantined
    for place, end in sorted(ends.items()):
        if heads.get(place, 0) < end:
            result.faults.append(
                f"{stream}/{place[1]}: the warehouse has offsets up to {heads.get(place, 0)}, Kafka up to {end}"
            )
    for place, (start, _) in sorted(kafka.items()):
        if start > heads.get(place, 0):
            result.faults.append(f"{stream}/{place[1]}: Kafka has deleted offsets below {start}, not all were loaded")
    dates = sorted({key[2] for tally in (lake_tally, raw, quarantined) for key in tally} | set(warehouse.known))
    for day in dates:
        keys = {key for tally in (lake_tally, raw, quarantined) for key in tally if key[2] == day}
        agrees = True
        for key in sorted(keys):
            rows = raw.get(key, (0, 0))
            bad = quarantined.get(key, (0, 0))
            if lake_tally.get(key, (0, 0)) != (rows[0] + bad[0], rows[1] + bad[1]):
                agrees = False
                result.faults.append(
                    f"{stream}/{key[1]} {day}: the lake has {lake_tally.get(key, (0, 0))[0]} rows, the warehouse "
                    f"{rows[0]} and {bad[0]} in quarantine"
                    + ("" if lake_tally.get(key, (0, 0))[0] != rows[0] + bad[0] else ", of other offsets")
                )
        if fault := _misstated(warehouse.known.get(day), *warehouse.totals.get(day, (0, 0))):
            agrees = False
            result.faults.append(f"{stream} {day}: {fault}")
        counts = (_sum(lake_tally, day), _sum(raw, day), _sum(quarantined, day))
        result.rows.append(DateRow(stream, day, *counts, agrees, warehouse.known.get(day)))
    for name, count in warehouse.drift.items():
        result.notes.append(f"{stream}: {count:,} events hold a field {name}, which the contract does not name")
    ledger = sum(min(heads.get(place, 0), end) for place, end in ends.items())
    result.offsets[stream] = (sum(ends.values()), lake_count, ledger)


def _lake(
    settings: Settings, stream: str, ends: Mapping[PartitionKey, int], result: Reconciliation
) -> tuple[Tally, int]:
    """The lake's tally below the cut; each offset must be there exactly once, and each head past it."""
    if not ends:
        return {}, 0
    reader = LakeReader(settings, stream)
    heads = {place: reader.transaction(transaction_id(*place)) for place in ends}
    # Up to the heads, as far as the lake's own count of offsets without a record goes.
    wanted = within([Range(*place, 0, max(end, heads[place])) for place, end in ends.items()])
    rows = reader.rows(wanted, ["topic_id", "partition", "offset", PARTITION_COLUMN])
    distinct = 0
    for place, end in sorted(ends.items()):
        _, partition = place
        offsets = rows.filter((pc.field("topic_id") == place[0]) & (pc.field("partition") == partition))["offset"]
        different = pc.count_distinct(offsets).as_py()
        distinct += pc.count_distinct(offsets.filter(pc.less(offsets, end))).as_py()
        head = heads[place]
        empty = reader.transaction(empty_id(*place))
        if head < end:
            result.faults.append(f"{stream}/{partition}: the lake has offsets up to {head}, Kafka up to {end}")
        if len(offsets) != different:
            result.faults.append(f"{stream}/{partition}: {len(offsets) - different} rows of the lake are doubled")
        if different < head - empty:
            result.faults.append(f"{stream}/{partition}: {head - empty - different} offsets are missing in the lake")
        if different > head - empty:
            result.faults.append(f"{stream}/{partition}: {different - head + empty} rows of the lake are no commit's")
        if empty:
            result.notes.append(
                f"{stream}/{partition}: {empty} offsets below {head} hold no record, as the lake's commits say: "
                "recorded gaps, aborted transactions or Kafka's marks"
            )
    rows = rows.filter(within([Range(*place, 0, end) for place, end in ends.items()]))
    grouped = rows.group_by(["topic_id", "partition", PARTITION_COLUMN]).aggregate(
        [([], "count_all"), ("offset", "sum")]
    )
    tally = {
        (row["topic_id"], row["partition"], row[PARTITION_COLUMN]): (row["count_all"], row["offset_sum"])
        for row in grouped.to_pylist()
    }
    return tally, distinct


def _warehouse(settings: Settings, contract: Contract, ends: Mapping[PartitionKey, int]) -> _Warehouse:
    cut = sql.SQL("unnest(%s::text[], %s::int[], %s::bigint[]) as cut (topic_id, partition, next_offset)")
    raw = sql.SQL(
        "select _topic_id, _partition, _event_date, count(*), count(*) filter (where _offset < next_offset),"
        " coalesce(sum(_offset) filter (where _offset < next_offset), 0) from {} left join {}"
        " on _topic_id = cut.topic_id and _partition = cut.partition group by 1, 2, 3"
    ).format(sql.Identifier("raw", contract.table), cut)
    quarantine = sql.SQL(
        'select q.topic_id, q.partition, event_date, count(*), count(*) filter (where "offset" < next_offset),'
        ' coalesce(sum("offset") filter (where "offset" < next_offset), 0) from raw.quarantine q left join {}'
        " on q.topic_id = cut.topic_id and q.partition = cut.partition where stream = %s group by 1, 2, 3"
    ).format(cut)
    places = ([place[0] for place in ends], [place[1] for place in ends], list(ends.values()))
    with connect(settings, "reader") as warehouse:
        warehouse.execute("set transaction isolation level repeatable read")
        good, rows = _tally(warehouse.execute(raw, places))
        bad, quarantined = _tally(warehouse.execute(quarantine, (*places, contract.stream)))
        return _Warehouse(
            good,
            bad,
            {day: (rows.get(day, 0), quarantined.get(day, 0)) for day in {*rows, *quarantined}},
            statuses(warehouse, contract.stream),
            dict(drift(warehouse, contract.stream)),
        )


def _misstated(known: DateStatus | None, rows: int, quarantined: int) -> str:
    """How what is known of a date differs from the rows that are there; empty where it does not."""
    stated = (known.rows, known.quarantined) if known else (0, 0)
    if stated == (rows, quarantined):
        return ""
    return f"ops.dates says {stated[0]} rows and {stated[1]} in quarantine, the tables hold {rows} and {quarantined}"


def _tally(rows: Iterable[Sequence[object]]) -> tuple[Tally, dict[date, int]]:
    """The tally of rows below the cut, and how many there are of each date, above it too."""
    tally: Tally = {}
    totals: dict[date, int] = {}
    for topic_id, partition, day, count, below, offsets in cast(Iterable[tuple[str, int, date, int, int, int]], rows):
        totals[day] = totals.get(day, 0) + count
        if below:
            tally[topic_id, partition, day] = (below, int(offsets))
    return tally, totals


def _sum(tally: Tally, day: date) -> int:
    return sum(rows for key, (rows, _) in tally.items() if key[2] == day)
