"""Lake to batches, group by group: the next group is read and parsed while the previous one is copied."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date
from typing import TypeVar

import pyarrow as pa

from sluice.contracts import Contract
from sluice.errors import TerminalError
from sluice.lake.commit_log import LogSlice
from sluice.lake.layout import SCHEMA
from sluice.lake.ranges import CommittedRange, Range
from sluice.lake.reader import LakeReader
from sluice.load.batch import LAKE_COLUMNS, Batch, read_batch
from sluice.load.integrity import find_altered
from sluice.load.plan import group_by_commits, halve, merge_ranges, split_evenly
from sluice.load.rejection import NONE_REJECTED, RecordId
from sluice.registry import Decoder

GROUP_BYTES = 48 << 20
"""Target size of a group, in bytes of lake rows in memory: about one commit of the sink."""
_PARSERS = 2
_SCHEMA = pa.schema([SCHEMA.field(name) for name in LAKE_COLUMNS])

Group = tuple[list[Range], Batch]
_T = TypeVar("_T")


def new_batches(
    contract: Contract,
    lake: LakeReader,
    decode: Decoder | None,
    ranges: Sequence[Range],
    rejected: Mapping[RecordId, str] = NONE_REJECTED,
) -> Iterator[Group]:
    """Yields everything in the ranges: groups of offsets that follow each other without a gap, and each group's rows.

    For ``decode`` and ``rejected`` see ``read_batch``.

    Raises:
        TransientError, TerminalError: the store is down or denies access, or a file is missing or damaged. Values
            that differ from those committed count as damage, as long as the log still has the commits.
    """
    with ThreadPoolExecutor(_PARSERS) as parsers:
        for part in lake.slices(ranges):
            yield from _slice_batches(contract, lake, decode, part, parsers, rejected)


def _slice_batches(
    contract: Contract,
    lake: LakeReader,
    decode: Decoder | None,
    part: LogSlice,
    parsers: ThreadPoolExecutor,
    rejected: Mapping[RecordId, str],
) -> Iterator[Group]:
    files = lake.candidate_files(part.ranges, part)
    row_bytes = max(lake.row_bytes(files), 1.0)
    rows = max(1, int(GROUP_BYTES / row_bytes))
    if part.commits:
        groups = group_by_commits(part.ranges, part.commits, rows)
    else:
        offsets = sum(offset_range.next_offset - offset_range.start_offset for offset_range in part.ranges)
        records = sum(files["num_records"].to_pylist()) if files.num_rows else 0
        groups = split_evenly(part.ranges, max(1, -(-min(offsets, records) // rows)))
    pending = groups[::-1]
    empty: list[Range] = []
    while pending:
        group = pending.pop()
        found, complete = _rows(lake, lake.candidate_files(group, part), group)
        parts = [group] if complete else halve(group, found)
        if len(parts) > 1:
            pending += reversed(parts)
            continue
        if not complete:
            found, _ = _rows(lake, lake.candidate_files(group, part), group, limit=None)
        if altered := find_altered(found, group, part.commits):
            raise _damaged(lake, altered, "the values differ from those committed", part)
        group, empty = merge_ranges(empty, group), []
        if not found.num_rows and pending:
            # A gap between records, however wide, does not get a transaction of its own.
            empty = group
            continue
        yield group, read_batch(contract, found, parsers.map, rejected, decode)


def date_batches(
    contract: Contract,
    lake: LakeReader,
    decode: Decoder | None,
    ranges: Sequence[Range],
    day: date,
    rejected: Mapping[RecordId, str],
) -> Iterator[Batch]:
    """Yields one event date's rows in the ranges, in batches of about ``GROUP_BYTES``.

    For ``decode`` and ``rejected`` see ``read_batch``.

    Raises:
        TransientError, TerminalError: as ``new_batches``; damage is found by the end at the latest.
    """
    parts: list[pa.RecordBatch] = []
    check = lake.check_date(day, ranges)
    with ThreadPoolExecutor(_PARSERS) as parsers:
        for rows in lake.batches(lake.candidate_files(ranges, day=day), ranges, LAKE_COLUMNS):
            parts.append(rows)
            check.add(rows)
            if sum(part.nbytes for part in parts) >= GROUP_BYTES:
                yield read_batch(contract, pa.Table.from_batches(parts), parsers.map, rejected, decode)
                parts = []
        if altered := check.altered():
            committed, difference = altered
            raise _damaged(lake, committed, difference, day=day)
        if parts:
            yield read_batch(contract, pa.Table.from_batches(parts), parsers.map, rejected, decode)


@contextmanager
def prefetch(items: Iterator[_T]) -> Iterator[Iterator[_T]]:
    """Iterates over the same items, none of which may be None; another thread gets the next one meanwhile."""
    with ThreadPoolExecutor(1) as executor:

        def prefetched() -> Iterator[_T]:
            following = executor.submit(next, items, None)
            while (item := following.result()) is not None:
                following = executor.submit(next, items, None)
                yield item

        yield prefetched()


def _rows(
    lake: LakeReader, files: pa.Table, group: Sequence[Range], limit: int | None = 2 * GROUP_BYTES
) -> tuple[pa.Table, bool]:
    """Returns the rows of a group, and whether they are complete: reading stops after ``limit`` bytes."""
    parts: list[pa.RecordBatch] = []
    size = 0
    for part in lake.batches(files, group, LAKE_COLUMNS):
        parts.append(part)
        size += part.nbytes
        if limit is not None and size > limit:
            return pa.Table.from_batches(parts, _SCHEMA), False
    return pa.Table.from_batches(parts, _SCHEMA), True


def _damaged(
    lake: LakeReader,
    committed: CommittedRange,
    difference: str,
    part: LogSlice | None = None,
    day: date | None = None,
) -> TerminalError:
    """Returns the error of rows that are not those committed; it names the files that can have them."""
    offsets = Range(*committed.key, committed.start_offset, committed.next_offset)
    paths = lake.candidate_files([offsets], part, day)["path"].to_pylist()
    return TerminalError(
        f"{lake.uri}: {committed.text()}: {difference}; one of these files is damaged: {', '.join(paths)}",
        "restore the file from a copy, then retry; nothing was changed",
    )
