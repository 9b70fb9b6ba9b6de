"""Runs loads: of everything in the lake beyond the ledger, or of one date again."""

import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Literal

import pyarrow as pa

from sluice.contracts import Contract
from sluice.escaping import escape
from sluice.lake.ranges import Range
from sluice.lake.reader import LakeReader
from sluice.load.batch import Batch, Drift, count_dates
from sluice.load.pipeline import date_batches, new_batches, prefetch
from sluice.load.plan import merge_ranges, new_ranges
from sluice.load.rejection import NONE_REJECTED, RecordId, RejectedRecordsError, until_none_rejected
from sluice.load.reload import Reload
from sluice.load.transaction import Warehouse, transaction
from sluice.registry import Decoder, decoder
from sluice.settings import Settings

log = logging.getLogger(__name__)


@dataclass
class LoadReport:
    """The result of a load."""

    stream: str
    rows: int = 0
    quarantined: int = 0
    groups: int = 0
    dates: list[date] = field(default_factory=list)
    seconds: float = 0.0
    changed: bool = False
    """Whether raw or quarantined rows of the dates differ from those before."""
    drift: Drift = field(default_factory=Counter)
    """Rows per event date and field that is not in the contract."""
    ranges: list[Range] = field(default_factory=list)
    """The offsets that were loaded, per partition; none for a reload."""

    def add(self, batch: Batch, group: Sequence[Range] = ()) -> None:
        """Adds a batch that was written, and the offsets that it came from."""
        self.rows += batch.columns.rows.num_rows
        self.quarantined += batch.invalid.num_rows
        self.groups += 1
        self.dates = sorted({*self.dates, *batch.dates})
        self.drift += batch.drift()
        self.ranges = merge_ranges(self.ranges, group)


def load(settings: Settings, contract: Contract) -> LoadReport:
    """Loads everything in the lake beyond the ledger into the warehouse, one transaction per group.

    Idempotent, and safe to run concurrently: a group that another load has committed is not loaded.

    Raises:
        TransientError: a server is down; committed groups stay, and the next load resumes after them.
        TerminalError: a server rejects a request, or a file of the lake is missing or damaged.
    """
    started = time.monotonic()
    report = LoadReport(contract.stream)
    lake = LakeReader(settings, contract.stream)
    decode = decoder(contract, settings)
    _spare_memory()
    with transaction(settings, contract) as warehouse:
        ledger_offsets = {key: end.next_offset for key, end in warehouse.ledger_ends().items()}
        warehouse.commit()
        ranges = new_ranges(ledger_offsets, lake.next_offsets())
        with prefetch(new_batches(contract, lake, decode, ranges) if ranges else iter(())) as batches:
            for group, batch in batches:
                if not _load_group(warehouse, contract, lake, decode, group, batch, report):
                    log.info("another load is ahead, stopping: stream=%s", contract.stream)
                    break
    report.changed = bool(report.dates)
    _log_schema_drift(report)
    report.seconds = time.monotonic() - started
    return report


MarkStale = Literal["always", "changed", "never"]


def reload(settings: Settings, contract: Contract, day: date, *, mark_stale: MarkStale = "always") -> LoadReport:
    """Loads one event date again from the lake, up to the ledger's end, in one transaction.

    What is reloaded are the dates of the lake that the event date's rows come from: usually one, the same date. Where
    records have other timestamps than their events, rows of other event dates are reloaded with them.

    Records beyond the ledger's end are left to ``load``, which does not wait for a reload. Two reloads of a date run
    one after the other.

    Args:
        settings: with the loader's and the lake's reader's passwords.
        contract: of the stream.
        day: the event date.
        mark_stale: when to mark the date for the next transform: ``always``, only if it ``changed``, or ``never``.

    Raises:
        TransientError, TerminalError: as ``load``; the date is unchanged.
    """
    started = time.monotonic()
    _spare_memory()
    decode = decoder(contract, settings)
    report = until_none_rejected(lambda rejected: _reload(settings, contract, decode, day, mark_stale, rejected))
    _log_schema_drift(report)
    report.seconds = time.monotonic() - started
    return report


def _reload(
    settings: Settings,
    contract: Contract,
    decode: Decoder | None,
    day: date,
    mark_stale: MarkStale,
    rejected: Mapping[RecordId, str],
) -> LoadReport:
    report = LoadReport(contract.stream)
    with transaction(settings, contract) as warehouse:
        date_reload = Reload(warehouse, contract, day)
        # Opened after the ledger was read: everything in the ledger is in this version of the lake.
        lake = LakeReader(settings, contract.stream)
        before = date_reload.delete_rows()
        now = datetime.now(UTC)
        for lake_date in date_reload.lake_dates:
            with prefetch(date_batches(contract, lake, decode, date_reload.ranges, lake_date, rejected)) as batches:
                for batch in batches:
                    warehouse.write(batch, now)
                    report.add(batch)
        after = date_reload.fingerprints()
        changed = {date for date in before.keys() | after.keys() if before.get(date) != after.get(date)}
        report.changed = bool(changed)
        date_reload.log_released()
        if stale := {"always": {day, *changed}, "changed": changed, "never": set[date]()}[mark_stale]:
            warehouse.mark_stale(stale)
        date_reload.update_date_stats(before.keys() | after.keys() | {day}, changed, report.drift, now)
    report.dates = [day]
    return report


def mark_stale(settings: Settings, contract: Contract, days: list[date]) -> None:
    """Marks dates for the next transform, without loading.

    Raises:
        TransientError, TerminalError: as ``load``.
    """
    with transaction(settings, contract) as warehouse:
        warehouse.mark_stale(days)


def _spare_memory() -> None:
    """Makes Arrow return freed memory to the system instead of keeping it for the next group."""
    pa.set_memory_pool(pa.system_memory_pool())


def _load_group(
    warehouse: Warehouse,
    contract: Contract,
    lake: LakeReader,
    decode: Decoder | None,
    group: list[Range],
    batch: Batch,
    report: LoadReport,
    rejected: Mapping[RecordId, str] = NONE_REJECTED,
) -> bool:
    """Commits a group and reports it; records that Postgres rejects go to quarantine, in a second attempt.

    Returns:
        False if another load committed the group first.
    """
    try:
        committed = _commit_group(warehouse, contract, group, batch)
    except RejectedRecordsError as error:
        warehouse.rollback()
        rejected = error.added_to(rejected)
        return all(
            _load_group(warehouse, contract, lake, decode, part, again, report, rejected)
            for part, again in new_batches(contract, lake, decode, group, rejected)
        )
    if committed:
        report.add(batch, group)
    return committed


def _commit_group(warehouse: Warehouse, contract: Contract, group: list[Range], batch: Batch) -> bool:
    """Commits a group's rows and bookkeeping in one transaction; returns False if another load committed it first."""
    warehouse.lock()
    ends = warehouse.ledger_ends()
    for offset_range in group:
        ledger_offset = ends[offset_range.key].next_offset if offset_range.key in ends else 0
        if ledger_offset != offset_range.start_offset:
            return False
    now = datetime.now(UTC)
    before = {key: end.watermark for key, end in ends.items() if end.watermark}
    counts, watermarks = count_dates(contract, batch, before, now)
    warehouse.write(batch, now)
    warehouse.record_ranges(group, batch, watermarks)
    warehouse.mark_stale(batch.dates)
    warehouse.add_date_stats(counts, batch.drift(), now)
    warehouse.add_date_sources(batch)
    warehouse.commit()
    return True


def _log_schema_drift(report: LoadReport) -> None:
    fields: Counter[str] = Counter()
    for (_, name), rows in report.drift.items():
        fields[name] += rows
    if fields:
        listed = ", ".join(f"{escape(name)} ({rows} rows)" for name, rows in fields.most_common(10))
        more = f" and {len(fields) - 10} more" if len(fields) > 10 else ""
        log.warning("fields not in the contract (see ops.drift): stream=%s fields=%s%s", report.stream, listed, more)
