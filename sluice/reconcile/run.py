"""Reads Kafka, the lake and the warehouse at one moment, compares them, and records what agrees."""

import logging
import time
from collections.abc import Collection, Mapping
from datetime import date, datetime

import pyarrow as pa

from sluice.contracts import Contract, topic_names
from sluice.kafka.topics import KafkaRange, kafka_ranges
from sluice.lake.errors import NoTableError
from sluice.lake.layout import transaction_id
from sluice.lake.ranges import PartitionKey
from sluice.lake.reader import LakeReader
from sluice.reconcile import verified
from sluice.reconcile.comparison import Comparison, compare
from sluice.reconcile.holes import hole_faults
from sluice.reconcile.lake import LakeSide, read_lake
from sluice.reconcile.report import Reconciliation
from sluice.reconcile.warehouse import (
    RECOUNT_SECONDS,
    Ledger,
    WarehouseSide,
    pending_dates,
    read_ledgers,
    read_moment,
    read_side,
    snapshot,
)
from sluice.settings import Settings

log = logging.getLogger(__name__)

PATIENCE = 300.0
"""Seconds to wait for the events in flight, if asked to wait."""


def reconcile(
    settings: Settings, contracts: dict[str, Contract], *, full: bool = False, patience: float = 0.0
) -> Reconciliation:
    """Compares all streams at one moment. Events in flight are counted, and are no disagreement.

    Offsets that an earlier comparison verified are not read again: they are compared by counts. See
    ``docs/how-to/verify-the-data.md`` for what that guarantees.

    Args:
        settings: with the passwords of the reader and, to record what was verified, of the loader.
        contracts: by stream.
        full: whether to read and compare everything, whatever was verified before.
        patience: seconds to wait until everything that Kafka holds now is loaded; what is missing after that is a
            disagreement. 0 does not wait.

    Raises:
        TransientError, TerminalError: a server is down or rejects a request.
    """
    missing = _wait_for_loads(settings, contracts, patience) if patience else []
    result = _compare_all(settings, contracts, with_kafka=True, full=full)
    result.faults += missing
    return result


def reconcile_loaded(settings: Settings, contracts: dict[str, Contract], days: Collection[date] = ()) -> Reconciliation:
    """Compares lake and warehouse without Kafka, and counts all rows of some dates again.

    Raises:
        TransientError, TerminalError: as ``reconcile``.
    """
    return _compare_all(settings, contracts, with_kafka=False, days=days)


def _compare_all(
    settings: Settings,
    contracts: dict[str, Contract],
    *,
    with_kafka: bool,
    full: bool = False,
    days: Collection[date] = (),
) -> Reconciliation:
    # Arrow returns freed memory to the system instead of keeping it for the next file.
    pa.set_memory_pool(pa.system_memory_pool())
    result = Reconciliation()
    with snapshot(settings) as warehouse:
        moment = read_moment(warehouse)
        # In this order, each of which only grows: see ``comparison``.
        ledgers = read_ledgers(warehouse)
        lakes = {stream: _open_lake(settings, stream, ledgers.get(stream, {})) for stream in contracts}
        kafka = kafka_ranges(settings, topic_names(contracts)) if with_kafka else []
        until = time.monotonic() + RECOUNT_SECONDS
        sides = {
            stream: read_side(warehouse, contract, ledgers.get(stream, {}), full=full, days=days, recount_until=until)
            for stream, contract in contracts.items()
        }
        result.pending_dates = pending_dates(warehouse)
    for stream in contracts:
        side, reader = sides[stream], lakes[stream]
        lake = LakeSide()
        if reader is not None:
            next_offsets = {key: end.next_offset for key, end in side.ledger.items()}
            lake = read_lake(reader, side.verified, next_offsets)
        ranges = {(part.topic_id, part.partition): part for part in kafka if part.stream == stream}
        comparison = compare(stream, lake, side, {key: part.end for key, part in ranges.items()})
        comparison.faults += _lost(settings, stream, lake, ranges)
        if reader is not None and not comparison.faults:
            comparison.faults += hole_faults(settings, reader, lake, side.verified, ranges)
        _record(settings, stream, moment, side, lake, comparison)
        result.rows += comparison.rows
        result.faults += comparison.faults
        result.notes += comparison.notes
        result.totals[stream] = comparison.totals
    return result


def _open_lake(settings: Settings, stream: str, ledger: Mapping[PartitionKey, Ledger]) -> LakeReader | None:
    """Returns the table at its newest version; None if there is none yet, and nothing was loaded from it."""
    try:
        return LakeReader(settings, stream)
    except NoTableError:
        if ledger:
            raise
        return None


def _lost(settings: Settings, stream: str, lake: LakeSide, ranges: Mapping[PartitionKey, KafkaRange]) -> list[str]:
    """Returns the offsets that Kafka deleted before they reached the lake."""
    suspects = {key: part for key, part in ranges.items() if part.start > lake.next_offsets.get(key, 0)}
    if not suspects:
        return []
    # Kafka was asked after the lake: the sink may have committed them in between.
    now = _open_lake(settings, stream, {})
    return [
        f"{stream}/{key[1]}: Kafka has deleted offsets {next_offset} to {part.start - 1} before they reached the lake"
        for key, part in sorted(suspects.items())
        if (next_offset := now.transaction(transaction_id(*key)) if now else 0) < part.start
    ]


def _record(
    settings: Settings,
    stream: str,
    moment: datetime,
    side: WarehouseSide,
    lake: LakeSide,
    comparison: Comparison,
) -> None:
    if not comparison.faults:
        verified.record(settings, stream, moment, side, lake.tally)
    elif not side.verified:
        verified.forget(settings, stream)


def _wait_for_loads(settings: Settings, contracts: Mapping[str, Contract], patience: float) -> list[str]:
    """Waits until everything that Kafka holds now is loaded; returns what was not loaded in time."""
    parts = [part for part in kafka_ranges(settings, topic_names(contracts)) if part.end]
    deadline = time.monotonic() + patience
    last_logged = 0
    while True:
        with snapshot(settings) as warehouse:
            ledgers = read_ledgers(warehouse)
        in_flight = {part: part.end - loaded for part in parts if (loaded := _loaded(ledgers, part)) < part.end}
        if not in_flight or time.monotonic() > deadline:
            return [
                f"{part.stream}/{part.partition}: the warehouse has offsets up to {_loaded(ledgers, part)}, Kafka up to"
                f" {part.end}, after {patience:.0f} s"
                for part in in_flight
            ]
        total = sum(in_flight.values())
        if total != last_logged:
            log.info("%d events in flight; waiting for the next loads", total)
            last_logged = total
        time.sleep(1.0)


def _loaded(ledgers: Mapping[str, Mapping[PartitionKey, Ledger]], part: KafkaRange) -> int:
    end = ledgers.get(part.stream, {}).get((part.topic_id, part.partition))
    return end.next_offset if end else 0
