"""Loading: what the lake has beyond the ledger, or one date anew."""

import logging
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Literal

import pyarrow as pa

from sluice.contracts import Contract
from sluice.lake.ranges import Range
from sluice.lake.reader import LakeReader
from sluice.load.batch import Batch, Drift, count_dates
from sluice.load.pipeline import date_batches, new_batches, prefetch
from sluice.load.plan import new_ranges
from sluice.load.reload import Reload
from sluice.load.transaction import Warehouse, transaction
from sluice.settings import Settings

log = logging.getLogger(__name__)


@dataclass
class LoadReport:
    """What a load did."""

    stream: str
    rows: int = 0
    quarantined: int = 0
    groups: int = 0
    dates: list[date] = field(default_factory=list)
    seconds: float = 0.0
    changed: bool = False
    """Whether the dates' rows, or quarantined ones, are others than before."""
    drift: Drift = field(default_factory=Counter)
    """Rows per event date and field that the contract does not name."""

    def add(self, batch: Batch) -> None:
        """Adds a batch that was written."""
        self.rows += batch.columns.rows.num_rows
        self.quarantined += batch.unfit.num_rows
        self.groups += 1
        self.dates = sorted({*self.dates, *batch.dates})
        self.drift += batch.drift()


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
    _spare_memory()
    with transaction(settings, contract) as warehouse:
        heads = {place: end.next_offset for place, end in warehouse.ends().items()}
        warehouse.commit()
        ranges = new_ranges(heads, lake.next_offsets({topic_id for topic_id, _ in heads}, contract))
        with prefetch(new_batches(contract, lake, ranges) if ranges else iter(())) as batches:
            for group, batch in batches:
                if not _commit_group(warehouse, contract, group, batch):
                    log.info("%s: another load is ahead, nothing is left to do here", contract.stream)
                    break
                report.add(batch)
    report.changed = bool(report.dates)
    _log_schema_drift(report)
    report.seconds = time.monotonic() - started
    return report


def reload(
    settings: Settings, contract: Contract, day: date, *, touch: Literal["always", "changed", "never"] = "always"
) -> LoadReport:
    """Takes one event date anew from the lake, up to the ledger's heads, in one transaction.

    What is in the lake beyond the heads is left to ``load``, which need not wait for this. Two reloads of a date follow
    each other.

    Args:
        settings: with the loader's and the lake's reader's passwords.
        contract: the stream's.
        day: which event date.
        touch: when the date is marked for the next transform: ``always``, only if it ``changed``, or ``never``.

    Raises:
        TransientError, TerminalError: as ``load``; the date is then as it was.
    """
    started = time.monotonic()
    report = LoadReport(contract.stream)
    _spare_memory()
    with transaction(settings, contract) as warehouse:
        rewrite = Reload(warehouse, contract, day)
        # Opened only now: what the ledger holds is in the lake's newest version.
        lake = LakeReader(settings, contract.stream)
        before = rewrite.clear()
        now = datetime.now(UTC)
        with prefetch(date_batches(contract, lake, rewrite.ranges, day)) as batches:
            for batch in batches:
                warehouse.write(batch, now)
                report.add(batch)
        report.changed = rewrite.fingerprint() != before
        rewrite.log_released()
        if touch == "always" or (touch == "changed" and report.changed):
            warehouse.touch([day])
        rewrite.settle(report.drift, report.changed, now)
    report.dates = [day]
    _log_schema_drift(report)
    report.seconds = time.monotonic() - started
    return report


def touch(settings: Settings, contract: Contract, days: list[date]) -> None:
    """Marks dates for the next transform, without loading.

    Raises:
        TransientError, TerminalError: as ``load``.
    """
    with transaction(settings, contract) as warehouse:
        warehouse.touch(days)


def _spare_memory() -> None:
    """Has Arrow give back what it no longer needs, in place of keeping it for the next group."""
    pa.set_memory_pool(pa.system_memory_pool())


def _commit_group(warehouse: Warehouse, contract: Contract, group: list[Range], batch: Batch) -> bool:
    """One transaction: a group's rows and all that is said of them. False if the ledger has gone on meanwhile."""
    warehouse.lock()
    ends = warehouse.ends()
    if any((ends[each.key].next_offset if each.key in ends else 0) != each.start_offset for each in group):
        return False
    now = datetime.now(UTC)
    before = {place: end.watermark for place, end in ends.items() if end.watermark}
    counts, watermarks = count_dates(contract, batch, before, now)
    warehouse.write(batch, now)
    warehouse.enter(group, batch, watermarks)
    warehouse.touch(batch.dates)
    warehouse.add_dates(counts, batch.drift(), now)
    warehouse.commit()
    return True


def _log_schema_drift(report: LoadReport) -> None:
    fields: Counter[str] = Counter()
    for (_, name), rows in report.drift.items():
        fields[name] += rows
    if fields:
        listed = ", ".join(f"{name} in {rows} rows" for name, rows in fields.most_common(10))
        more = f" and {len(fields) - 10} others" if len(fields) > 10 else ""
        log.warning("%s: fields that the contract does not name: %s%s; see ops.drift", report.stream, listed, more)
