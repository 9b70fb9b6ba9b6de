"""Compares one stream's offsets in Kafka, the lake and the warehouse. Nothing here reads anything.

What is compared was read in one order: the ledger first, then the lake, then Kafka. Each only grows, so that the
ledger's end is at most the lake's, and the lake's at most Kafka's, however fast events flow.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from itertools import islice

from sluice.lake.ranges import PartitionKey
from sluice.reconcile.lake import LakeSide
from sluice.reconcile.report import DateRow, Totals
from sluice.reconcile.tally import NOTHING, Tally, by_date
from sluice.reconcile.warehouse import Ledger, WarehouseSide

_NO_LEDGER = Ledger(0, 0)
_MAX_FIELDS = 20
"""Fields outside the contract that the notes name."""


@dataclass
class Comparison:
    """The result for one stream."""

    totals: Totals
    rows: list[DateRow] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def compare(stream: str, lake: LakeSide, warehouse: WarehouseSide, ends: Mapping[PartitionKey, int]) -> Comparison:
    """Compares a stream's partitions and dates up to the end of the ledger; what lies beyond is in flight.

    Args:
        stream: its name.
        lake: read from the verified prefixes on.
        warehouse: of a snapshot that is no newer.
        ends: where Kafka's partitions end, no older than the lake; a topic that Kafka no longer has is left out.
    """
    keys = sorted(lake.next_offsets.keys() | warehouse.ledger.keys() | ends.keys())
    result = Comparison(
        Totals(
            sum(ends.get(key, lake.next_offsets.get(key, 0)) for key in keys),
            sum(lake.next_offsets.values()),
            sum(end.next_offset for end in warehouse.ledger.values()),
        )
    )
    loaded = _rows_by_partition(lake.tally)
    for key in keys:
        ledger = warehouse.ledger.get(key, _NO_LEDGER)
        next_offset, name = lake.next_offsets.get(key, 0), f"{stream}/{key[1]}"
        if next_offset < ledger.next_offset:
            result.faults.append(
                f"{name}: the lake has offsets up to {next_offset}, the warehouse up to {ledger.next_offset}"
            )
        if ends.get(key, next_offset) < next_offset:
            result.faults.append(f"{name}: Kafka has offsets up to {ends[key]}, the lake up to {next_offset}")
        result.faults += (f"{name}: {fault}" for fault in _partition_faults(lake, warehouse, key))
        records = warehouse.verified_records[key] + loaded.get(key, 0)
        if records != ledger.records:
            result.faults.append(
                f"{name}: the lake has {records} rows below offset {ledger.next_offset}, the ledger counts"
                f" {ledger.records}"
            )
        if empty := lake.empty.get(key):
            result.notes.append(
                f"{name}: {empty} offsets below {next_offset} hold no record according to the lake's commits: recorded"
                " gaps, aborted transactions or Kafka's control records"
            )
    _compare_dates(stream, lake, warehouse, result)
    for field_name, count in islice(warehouse.drift.items(), _MAX_FIELDS):
        result.notes.append(f"{stream}: {count:,} events contain the field {field_name}, which is not in the contract")
    if (more := len(warehouse.drift) - _MAX_FIELDS) > 0:
        result.notes.append(f"{stream}: events contain {more:,} more fields, which `make sql` shows in ops.drift")
    result.notes += warehouse.notes
    return result


def _partition_faults(lake: LakeSide, warehouse: WarehouseSide, key: PartitionKey) -> Iterator[str]:
    """Yields how the offsets read of a partition differ from what the lake's commits claim."""
    offsets = lake.offsets.get(key)
    distinct, repeated = (offsets.distinct, offsets.repeated) if offsets else (0, 0)
    claimed = lake.next_offsets.get(key, 0) - lake.empty.get(key, 0) - warehouse.verified_records[key]
    if repeated:
        yield f"{repeated} rows of the lake are duplicated"
    if distinct < claimed:
        yield f"{claimed - distinct} offsets are missing from the lake"
    if distinct > claimed:
        yield f"{distinct - claimed} rows of the lake belong to no commit"


def _compare_dates(stream: str, lake: LakeSide, warehouse: WarehouseSide, result: Comparison) -> None:
    in_lake = by_event_date(warehouse.verified_dates + by_date(lake.tally), warehouse.moved)
    raw, quarantined = by_event_date(by_date(warehouse.raw), warehouse.moved), by_date(warehouse.quarantined)
    # An event date is counted whole if all dates of the lake that it has rows of are.
    recounted = warehouse.recounted
    if recounted is not None:
        recounted -= {day for pair in warehouse.moved if pair[0] not in recounted for day in pair}
    # Of recounted dates all rows are compared, of others those beyond the verified prefixes.
    expected: Tally = dict(warehouse.recorded)
    for key, sums in lake.tally.items():
        expected[key] = expected.get(key, NOTHING) + sums
    days = in_lake.keys() | raw.keys() | quarantined.keys() | warehouse.statuses.keys() | lake.logged.keys()
    tally_keys = sorted(
        expected.keys() | warehouse.raw.keys() | warehouse.quarantined.keys(), key=lambda key: (key[2], *key[:2])
    )
    faults: dict[date, list[str]] = {day: [] for day in days}
    for key in tally_keys:
        valid, invalid = warehouse.raw.get(key, NOTHING), warehouse.quarantined.get(key, NOTHING)
        sums = expected.get(key, NOTHING)
        if sums != valid + invalid:
            differ = ", with different offsets" if sums.rows == valid.rows + invalid.rows else ""
            faults[key[2]].append(
                f"{stream}/{key[1]} {key[2]}: the lake has {sums.rows} rows, the warehouse {valid.rows} and"
                f" {invalid.rows} in quarantine{differ}"
            )
    for day in sorted(days):
        status = warehouse.statuses.get(day)
        recorded = (status.rows, status.quarantined) if status else (0, 0)
        counted = (raw[day], quarantined[day])
        if recounted is None or day in recounted:
            if recorded != counted:
                faults[day].append(
                    f"{stream} {day}: ops.dates records {recorded[0]} rows and {recorded[1]} in quarantine, but the"
                    f" tables hold {counted[0]} and {counted[1]}"
                )
        else:
            counted = recorded
            if sum(recorded) != in_lake[day]:
                faults[day].append(
                    f"{stream} {day}: the lake has {in_lake[day]} rows, ops.dates records {recorded[0]} and"
                    f" {recorded[1]} in quarantine"
                )
        logged, known = lake.logged.get(day, 0), warehouse.verified_dates[day] + lake.read[day]
        if logged is None:
            result.notes.append(
                f"{stream} {day}: the lake's log has no row counts; `make reconcile FULL=1` counts them"
            )
        elif logged != known:
            faults[day].append(f"{stream} {day}: the lake's log has {logged} rows, but {known} were verified")
        result.faults += faults[day]
        if in_lake[day] or any(counted) or status or faults[day]:
            result.rows.append(DateRow(stream, day, in_lake[day], *counted, not faults[day], status))


def by_event_date(rows: Counter[date], moved: Mapping[tuple[date, date], int]) -> Counter[date]:
    """Returns rows by event date, given those by date of the lake and how many are moved from one to another.

    What differs between the lake and the warehouse stays at the lake's date, because only the warehouse knows the event
    dates.
    """
    result = Counter(rows)
    for (lake_date, event_date), count in moved.items():
        result[lake_date] -= count
        result[event_date] += count
    return result


def _rows_by_partition(tally: Tally) -> dict[PartitionKey, int]:
    rows: dict[PartitionKey, int] = {}
    for (topic_id, partition, _), sums in tally.items():
        rows[topic_id, partition] = rows.get((topic_id, partition), 0) + sums.rows
    return rows
