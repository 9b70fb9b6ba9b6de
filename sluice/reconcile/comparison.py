"""Compares Kafka's offsets, the lake's commits, the warehouse's rows and its quarantine at one cut.

The cut is the end of Kafka's partitions when the comparison starts. Later records do not count, so that the comparison
works while events flow; every record before the cut must be everywhere, exactly once.
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
"""Per topic id, partition and event date: the number of rows, and the sum of their offsets."""


@dataclass(frozen=True)
class _Warehouse:
    """A consistent snapshot of a stream in the warehouse."""

    raw: Tally
    """Rows in raw below the cut."""
    quarantined: Tally
    """Records in quarantine below the cut."""
    totals: dict[date, tuple[int, int]]
    """Per date: all rows in raw, and all records in quarantine."""
    statuses: dict[date, DateStatus]
    drift: dict[str, int]


def reconcile(settings: Settings, contracts: dict[str, Contract], patience: float = 300.0) -> Reconciliation:
    """Compares all streams at one cut.

    Args:
        settings: of the platform.
        contracts: by stream.
        patience: seconds to wait until periodic loads have loaded the events in flight; what is missing after that is
            reported as a disagreement.

    Raises:
        TransientError, TerminalError: a server is down or rejects a request.
    """
    result = Reconciliation()
    cut: dict[str, dict[PartitionKey, tuple[int, int]]] = {stream: {} for stream in contracts}
    for partition in kafka_ranges(settings, list(contracts)):
        cut[partition.stream][partition.topic_id, partition.partition] = (partition.start, partition.end)
    _wait_for_loads(settings, cut, patience)
    for stream, contract in contracts.items():
        _compare(settings, contract, cut[stream], result)
    with connect(settings, "reader") as warehouse:
        pending = warehouse.execute(
            "select count(distinct (stream, event_date)) from ops.stale_dates where built_at is null"
        ).fetchone()
        result.pending_dates = int(str(pending[0])) if pending else 0
    return result


def reconcile_loaded(settings: Settings, contracts: dict[str, Contract]) -> Reconciliation:
    """Compares lake and warehouse up to the end of the ledger; events in flight do not count.

    Raises:
        TransientError, TerminalError: as ``reconcile``.
    """
    result = Reconciliation()
    for contract in contracts.values():
        _compare(settings, contract, {}, result)
    return result


def _wait_for_loads(settings: Settings, cut: dict[str, dict[PartitionKey, tuple[int, int]]], patience: float) -> None:
    deadline = time.monotonic() + patience
    last_logged = 0
    while True:
        ledger = _ledger_offsets(settings)
        in_flight = sum(
            max(end - ledger.get(stream, {}).get(key, 0), 0)
            for stream, partitions in cut.items()
            for key, (_, end) in partitions.items()
        )
        if not in_flight or time.monotonic() > deadline:
            return
        if in_flight != last_logged:
            log.info("%d events in flight; waiting for the next loads", in_flight)
            last_logged = in_flight
        time.sleep(1.0)


def _ledger_offsets(settings: Settings) -> dict[str, dict[PartitionKey, int]]:
    """Returns the ledger's next offset per stream and partition, without those that are 0."""
    next_offsets: dict[str, dict[PartitionKey, int]] = {}
    with connect(settings, "reader") as warehouse:
        for stream, topic_id, partition, next_offset in warehouse.execute(
            "select stream, topic_id, partition, next_offset from ops.ledger_ends"
        ):
            if next_offset:
                next_offsets.setdefault(str(stream), {})[str(topic_id), int(str(partition))] = int(str(next_offset))
    return next_offsets


def _compare(
    settings: Settings, contract: Contract, kafka: Mapping[PartitionKey, tuple[int, int]], result: Reconciliation
) -> None:
    stream = contract.stream
    ledger = _ledger_offsets(settings).get(stream, {})
    # A topic that was deleted from Kafka is compared up to the end of the ledger.
    cut = ledger | {key: end for key, (_, end) in kafka.items() if end}
    lake_tally, lake_count = _lake(settings, stream, cut, result)
    warehouse = _warehouse(settings, contract, cut)
    raw, quarantined = warehouse.raw, warehouse.quarantined
    for key, end in sorted(cut.items()):
        if ledger.get(key, 0) < end:
            result.faults.append(
                f"{stream}/{key[1]}: the warehouse has offsets up to {ledger.get(key, 0)}, Kafka up to {end}"
            )
    for key, (start, _) in sorted(kafka.items()):
        if start > ledger.get(key, 0):
            result.faults.append(
                f"{stream}/{key[1]}: Kafka has deleted offsets below {start} before all of them were loaded"
            )
    tally_keys = lake_tally.keys() | raw.keys() | quarantined.keys()
    for day in sorted({tally_key[2] for tally_key in tally_keys} | set(warehouse.statuses)):
        agrees = True
        for tally_key in sorted(tally_key for tally_key in tally_keys if tally_key[2] == day):
            _, partition, _ = tally_key
            lake_rows, lake_offsets = lake_tally.get(tally_key, (0, 0))
            raw_rows, raw_offsets = raw.get(tally_key, (0, 0))
            bad_rows, bad_offsets = quarantined.get(tally_key, (0, 0))
            if (lake_rows, lake_offsets) != (raw_rows + bad_rows, raw_offsets + bad_offsets):
                agrees = False
                result.faults.append(
                    f"{stream}/{partition} {day}: the lake has {lake_rows} rows, the warehouse {raw_rows} and"
                    f" {bad_rows} in quarantine"
                    + (", with different offsets" if lake_rows == raw_rows + bad_rows else "")
                )
        if fault := _wrong_stats(warehouse.statuses.get(day), *warehouse.totals.get(day, (0, 0))):
            agrees = False
            result.faults.append(f"{stream} {day}: {fault}")
        counts = (_sum(lake_tally, day), _sum(raw, day), _sum(quarantined, day))
        result.rows.append(DateRow(stream, day, *counts, agrees, warehouse.statuses.get(day)))
    for name, count in warehouse.drift.items():
        result.notes.append(f"{stream}: {count:,} events contain the field {name}, which is not in the contract")
    loaded = sum(min(ledger.get(key, 0), end) for key, end in cut.items())
    result.offsets[stream] = (sum(cut.values()), lake_count, loaded)


def _lake(
    settings: Settings, stream: str, cut: Mapping[PartitionKey, int], result: Reconciliation
) -> tuple[Tally, int]:
    """Returns the lake's tally below the cut, and the number of its distinct offsets.

    Reports partitions whose next offset has not reached the cut, and offsets that are not there exactly once.
    """
    if not cut:
        return {}, 0
    reader = LakeReader(settings, stream)
    next_offsets = {key: reader.transaction(transaction_id(*key)) for key in cut}
    # Up to the next offsets, since the lake's own count of offsets without a record extends that far.
    condition = within([Range(*key, 0, max(end, next_offsets[key])) for key, end in cut.items()])
    rows = reader.rows(condition, ["topic_id", "partition", "offset", PARTITION_COLUMN])
    lake_count = 0
    for key, end in sorted(cut.items()):
        topic_id, partition = key
        offsets = rows.filter((pc.field("topic_id") == topic_id) & (pc.field("partition") == partition))["offset"]
        distinct = pc.count_distinct(offsets).as_py()
        lake_count += pc.count_distinct(offsets.filter(pc.less(offsets, end))).as_py()
        next_offset = next_offsets[key]
        empty = reader.transaction(empty_id(*key))
        expected = next_offset - empty
        if next_offset < end:
            result.faults.append(f"{stream}/{partition}: the lake has offsets up to {next_offset}, Kafka up to {end}")
        if len(offsets) != distinct:
            result.faults.append(f"{stream}/{partition}: {len(offsets) - distinct} rows of the lake are duplicated")
        if distinct < expected:
            result.faults.append(f"{stream}/{partition}: {expected - distinct} offsets are missing from the lake")
        if distinct > expected:
            result.faults.append(f"{stream}/{partition}: {distinct - expected} rows of the lake belong to no commit")
        if empty:
            result.notes.append(
                f"{stream}/{partition}: {empty} offsets below {next_offset} hold no record according to the lake's"
                " commits: recorded gaps, aborted transactions or Kafka's control records"
            )
    rows = rows.filter(within([Range(*key, 0, end) for key, end in cut.items()]))
    grouped = rows.group_by(["topic_id", "partition", PARTITION_COLUMN]).aggregate(
        [([], "count_all"), ("offset", "sum")]
    )
    tally = {
        (row["topic_id"], row["partition"], row[PARTITION_COLUMN]): (row["count_all"], row["offset_sum"])
        for row in grouped.to_pylist()
    }
    return tally, lake_count


def _warehouse(settings: Settings, contract: Contract, cut: Mapping[PartitionKey, int]) -> _Warehouse:
    cut_table = sql.SQL("unnest(%s::text[], %s::int[], %s::bigint[]) as cut (topic_id, partition, next_offset)")
    raw = sql.SQL(
        "select _topic_id, _partition, _event_date, count(*), count(*) filter (where _offset < next_offset),"
        " coalesce(sum(_offset) filter (where _offset < next_offset), 0) from {} left join {}"
        " on _topic_id = cut.topic_id and _partition = cut.partition group by 1, 2, 3"
    ).format(sql.Identifier("raw", contract.table), cut_table)
    quarantine = sql.SQL(
        'select q.topic_id, q.partition, event_date, count(*), count(*) filter (where "offset" < next_offset),'
        ' coalesce(sum("offset") filter (where "offset" < next_offset), 0) from raw.quarantine q left join {}'
        " on q.topic_id = cut.topic_id and q.partition = cut.partition where stream = %s group by 1, 2, 3"
    ).format(cut_table)
    cut_values = ([topic_id for topic_id, _ in cut], [partition for _, partition in cut], list(cut.values()))
    with connect(settings, "reader") as warehouse:
        warehouse.execute("set transaction isolation level repeatable read")
        raw_tally, raw_totals = _tally(warehouse.execute(raw, cut_values))
        bad_tally, bad_totals = _tally(warehouse.execute(quarantine, (*cut_values, contract.stream)))
        return _Warehouse(
            raw_tally,
            bad_tally,
            {day: (raw_totals.get(day, 0), bad_totals.get(day, 0)) for day in {*raw_totals, *bad_totals}},
            statuses(warehouse, contract.stream),
            dict(drift(warehouse, contract.stream)),
        )


def _wrong_stats(status: DateStatus | None, rows: int, quarantined: int) -> str:
    """Returns how a date's statistics differ from the tables; empty if they agree."""
    recorded = (status.rows, status.quarantined) if status else (0, 0)
    if recorded == (rows, quarantined):
        return ""
    return (
        f"ops.dates records {recorded[0]} rows and {recorded[1]} in quarantine, but the tables hold {rows} and"
        f" {quarantined}"
    )


def _tally(rows: Iterable[Sequence[object]]) -> tuple[Tally, dict[date, int]]:
    """Returns the tally of rows below the cut, and the number of all rows of each date, including those above it."""
    tally: Tally = {}
    totals: dict[date, int] = {}
    for topic_id, partition, day, count, below, offsets in cast(Iterable[tuple[str, int, date, int, int, int]], rows):
        totals[day] = totals.get(day, 0) + count
        if below:
            tally[topic_id, partition, day] = (below, int(offsets))
    return tally, totals


def _sum(tally: Tally, day: date) -> int:
    return sum(rows for key, (rows, _) in tally.items() if key[2] == day)
