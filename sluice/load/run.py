"""Loading: what the lake has beyond the ledger, or one date anew."""

import logging
import time
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

import pyarrow as pa
import pyarrow.compute as pc

from sluice.contracts import Contract
from sluice.lake.reader import LakeReader
from sluice.load.columns import read_columns
from sluice.load.plan import Range, grouped, new_ranges, within
from sluice.load.transaction import LAKE_COLUMNS, Batch, transaction
from sluice.settings import Settings

log = logging.getLogger(__name__)

GROUP_BYTES = 64 << 20
"""Bytes of lake rows in memory that make a group; parsed and copied they take about three times that."""


@dataclass
class LoadReport:
    """What a load did."""

    stream: str
    rows: int = 0
    quarantined: int = 0
    groups: int = 0
    dates: list[date] = field(default_factory=list)
    seconds: float = 0.0


def load(settings: Settings, contract: Contract) -> LoadReport:
    """Takes what the lake has beyond the ledger into the warehouse, a transaction per group.

    Running it twice, or two at once, changes nothing: a group whose ranges another load has entered is not loaded.

    Raises:
        TransientError: a server does not answer; what is committed stays, the next load goes on from there.
        TerminalError: a server refuses, or a file of the lake is missing or damaged.
    """
    started = time.monotonic()
    report = LoadReport(contract.stream)
    lake = LakeReader(settings, contract.stream)
    with transaction(settings, contract) as warehouse:
        heads = warehouse.heads()
    ranges = new_ranges(lake.beyond(heads), heads, lake.heads({topic_id for topic_id, _ in heads}, contract))
    for group in grouped(ranges, _group_rows(lake)) if ranges else []:
        batch = _read(contract, lake.rows(within(group), LAKE_COLUMNS))
        with transaction(settings, contract) as warehouse:
            warehouse.lock()
            heads = warehouse.heads()
            if any(heads.get((each.topic_id, each.partition), 0) != each.first for each in group):
                log.info("%s: another load is ahead, nothing is left to do here", contract.stream)
                break
            warehouse.write(batch, datetime.now(UTC))
            warehouse.enter(group, batch)
        _add(report, batch)
    report.seconds = time.monotonic() - started
    return report


def reload(settings: Settings, contract: Contract, day: date) -> LoadReport:
    """Takes one event date anew from the lake, up to the ledger's heads, in one transaction.

    What is in the lake beyond the heads is left to ``load``. The date is marked as touched even if nothing changed.

    Raises:
        TransientError, TerminalError: as ``load``; the date is then as it was.
    """
    started = time.monotonic()
    report = LoadReport(contract.stream)
    with transaction(settings, contract) as warehouse:
        warehouse.lock()
        warehouse.lock_date(day)
        heads = warehouse.heads()
        loaded = [Range(topic_id, partition, 0, head) for (topic_id, partition), head in heads.items() if head]
        # Opened only now: what the ledger holds is in the lake's newest version.
        lake = LakeReader(settings, contract.stream)
        condition = within(loaded) if loaded else pc.scalar(False)
        batch = _read(contract, lake.rows(condition, LAKE_COLUMNS, day))
        warehouse.remove(day)
        warehouse.write(batch, datetime.now(UTC))
        warehouse.touch([] if batch.dates else [day])
    _add(report, batch)
    report.dates = [day]
    report.seconds = time.monotonic() - started
    return report


def _read(contract: Contract, rows: pa.Table) -> Batch:
    ordered = rows.sort_by([("topic_id", "ascending"), ("partition", "ascending"), ("offset", "ascending")])
    return Batch(ordered, read_columns(contract, ordered["value"], ordered["timestamp"]))


def _add(report: LoadReport, batch: Batch) -> None:
    report.rows += batch.columns.rows.num_rows
    report.quarantined += len(batch.columns.reasons)
    report.groups += 1
    report.dates = sorted({*report.dates, *batch.dates})


def _group_rows(lake: LakeReader) -> int:
    """How many rows make a group of ``GROUP_BYTES``, going by the lake's largest rows."""
    return max(1, int(GROUP_BYTES // max(lake.row_bytes(), 1)))
