"""From the lake to batches, group by group: the next one is read and parsed while the last one is copied."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date
from typing import TypeVar

import pyarrow as pa

from sluice.contracts import Contract
from sluice.errors import TerminalError
from sluice.lake.layout import SCHEMA
from sluice.lake.ranges import Range
from sluice.lake.reader import LakeReader
from sluice.load.batch import LAKE_COLUMNS, Batch, read_batch
from sluice.load.integrity import altered
from sluice.load.plan import by_commits, by_shares, halves, joined

GROUP_BYTES = 48 << 20
"""Bytes of lake rows in memory that a group is cut for: about a commit of the sink's."""
_PARSERS = 2
_SCHEMA = pa.schema([SCHEMA.field(name) for name in LAKE_COLUMNS])

Part = tuple[list[Range], Batch]
_T = TypeVar("_T")


def new_batches(contract: Contract, lake: LakeReader, ranges: Sequence[Range]) -> Iterator[Part]:
    """Everything in the ranges, in groups that follow each other without a gap, and each group's rows.

    Raises:
        TransientError, TerminalError: the store does not answer or refuses, or a file is missing or damaged. As long as
            the log has the commits, values that are not those that were committed count as damage.
    """
    recent = lake.recent(ranges)

    def holding(wanted: Sequence[Range]) -> pa.Table:
        # A commit's file spans the offsets of all its partitions, so that its statistics alone leave out few others.
        return lake.holding(wanted, recent.paths(wanted) if recent else None)

    files = holding(ranges)
    row_bytes = max(lake.row_bytes(files), 1.0)
    rows = max(1, int(GROUP_BYTES / row_bytes))
    if recent:
        groups = by_commits(ranges, recent.commits, rows)
    else:
        offsets = sum(each.next_offset - each.start_offset for each in ranges)
        held = sum(files["num_records"].to_pylist()) if files.num_rows else 0
        groups = by_shares(ranges, max(1, -(-min(offsets, held) // rows)))
    left = groups[::-1]
    empty: list[Range] = []
    with ThreadPoolExecutor(_PARSERS) as parsers:
        while left:
            group = left.pop()
            found, complete = _rows(lake, holding(group), group)
            parts = [group] if complete else halves(group, found)
            if len(parts) > 1:
                left += reversed(parts)
                continue
            if not complete:
                found, _ = _rows(lake, holding(group), group, limit=None)
            if recent and (fault := altered(found, group, recent.commits)):
                names = holding([Range(*fault.key, fault.start_offset, fault.next_offset)])["path"].to_pylist()
                raise TerminalError(
                    f"{lake.uri}: {fault.text()}: not the values that were committed; altered is one of"
                    f" {', '.join(names)}",
                    "restore it from a copy",
                )
            group, empty = joined(empty, group), []
            if not found.num_rows and left:
                # A gap between records, however wide, is no transaction of its own.
                empty = group
                continue
            yield group, read_batch(contract, found, parsers.map)


def date_batches(contract: Contract, lake: LakeReader, ranges: Sequence[Range], day: date) -> Iterator[Batch]:
    """One event date's rows in the ranges, in batches of about ``GROUP_BYTES``.

    Raises:
        TransientError, TerminalError: as ``new_batches``.
    """
    parts: list[pa.RecordBatch] = []
    with ThreadPoolExecutor(_PARSERS) as parsers:
        for part in lake.batches(lake.holding(ranges, day=day), ranges, LAKE_COLUMNS):
            parts.append(part)
            if sum(each.nbytes for each in parts) >= GROUP_BYTES:
                yield read_batch(contract, pa.Table.from_batches(parts), parsers.map)
                parts = []
        if parts:
            yield read_batch(contract, pa.Table.from_batches(parts), parsers.map)


@contextmanager
def prefetch(items: Iterator[_T]) -> Iterator[Iterator[_T]]:
    """The same items, none of them None; while one is used, another thread gets the next."""
    with ThreadPoolExecutor(1) as executor:

        def each() -> Iterator[_T]:
            coming = executor.submit(next, items, None)
            while (item := coming.result()) is not None:
                coming = executor.submit(next, items, None)
                yield item

        yield each()


def _rows(
    lake: LakeReader, files: pa.Table, group: Sequence[Range], limit: int | None = 2 * GROUP_BYTES
) -> tuple[pa.Table, bool]:
    """The rows of a group, and whether they are all of them: no more than ``limit`` bytes are read."""
    parts: list[pa.RecordBatch] = []
    size = 0
    for part in lake.batches(files, group, LAKE_COLUMNS):
        parts.append(part)
        size += part.nbytes
        if limit is not None and size > limit:
            return pa.Table.from_batches(parts, _SCHEMA), False
    return pa.Table.from_batches(parts, _SCHEMA), True
