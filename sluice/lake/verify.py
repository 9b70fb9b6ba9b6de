"""Verifies the lake: every partition's commits are contiguous, and the files contain exactly the recorded rows.

The ranges in the commit metadata, and in the archive of those that were cleaned from the log, are compared with the
rows of the table's newest version, so compaction makes no difference. The recorded hashes cover values only, not keys,
headers or timestamps.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError
from deltalake.fs import DeltaStorageHandler
from pyarrow.fs import PyFileSystem

from sluice.escaping import escape
from sluice.lake.chunk import value_hash
from sluice.lake.commit_log import CommitLog
from sluice.lake.date_check import split_by_partition
from sluice.lake.errors import NoTableError, store_error
from sluice.lake.layout import empty_id, transaction_id
from sluice.lake.ranges import CommittedRange, PartitionKey, check_continuity
from sluice.lake.scan import TableScan
from sluice.lake.spill_buffer import SpillBuffer

BUFFER_BYTES = 128 << 20
"""Bytes of rows buffered in memory until their range is complete; further rows spill to temporary files."""


Offsets = npt.NDArray[np.int64]


@dataclass
class Verification:
    """The result of verifying one table."""

    uri: str
    version: int = 0
    oldest: int = 0
    """The first version that is still in the log."""
    commits: int = 0
    ranges: int = 0
    files: int = 0
    rows: int = 0
    empty: int = 0
    """Offsets without a record, as recorded."""
    gaps: int = 0
    overlaps: int = 0
    duplicated: int = 0
    """Rows beyond those recorded."""
    missing: int = 0
    """Recorded rows that are not in the files."""
    wrong_hashes: int = 0
    unverified: int = 0
    """Offsets whose commits were cleaned from the log before the archive existed: counted, but not compared."""
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)

    def text(self, name: str) -> str:
        """Returns the figures, their limits, and one line per fault."""
        lines = [
            f"{name}: version {self.version}, {self.commits:,} commits, {self.ranges:,} ranges, {self.rows:,} rows in "
            f"{self.files:,} files, {self.empty:,} offsets without a record; {self.gaps} gaps, "
            f"{self.overlaps} overlaps, {self.duplicated} duplicated rows, {self.missing} missing rows, "
            f"{self.wrong_hashes} wrong hashes; {self.seconds:.1f} s"
        ]
        if self.oldest:
            lines.append(
                f"{name}: versions before {self.oldest} were cleaned from the log: their {self.unverified:,} offsets "
                "were counted, each once, but not compared with ranges and hashes"
            )
        lines.extend(f"{name}: {escape(fault)}" for fault in self.faults)
        return "\n".join(lines)


def verify(uri: str, options: dict[str, str]) -> Verification:
    """Verifies a table at its newest version.

    Args:
        uri: the table's URI.
        options: the delta-rs options for reading it.

    Raises:
        TransientError: the table does not exist yet, or the store is down.
        TerminalError: the store rejects the request.
    """
    started = time.monotonic()
    try:
        table = DeltaTable(uri, storage_options=options)
        scan = TableScan(table)
    except TableNotFoundError as error:
        raise NoTableError(uri) from error
    except (DeltaError, OSError) as error:
        raise store_error(uri, error) from error
    history = CommitLog(uri, PyFileSystem(DeltaStorageHandler(uri, options)), table.version()).history()
    result = Verification(
        uri, table.version(), history.oldest, history.commits, len(history.ranges), scan.files, faults=history.faults
    )
    partitions: dict[PartitionKey, _PartitionCheck] = {}
    ranges_by_partition = history.by_partition()

    def partition_check(key: PartitionKey) -> _PartitionCheck:
        if key not in partitions:
            try:
                next_offset = table.transaction_version(transaction_id(*key)) or 0
                empty = table.transaction_version(empty_id(*key)) or 0
            except (DeltaError, OSError) as error:
                raise store_error(uri, error) from error
            partitions[key] = _PartitionCheck(ranges_by_partition.get(key, []), next_offset, empty, history.oldest == 0)
        return partitions[key]

    buffer = SpillBuffer(BUFFER_BYTES)
    try:
        for key in ranges_by_partition:
            partition_check(key)
        numbers = {id(committed): number for number, committed in enumerate(history.ranges)}
        range_checks = [_RangeCheck(committed) for committed in history.ranges]
        for batch in scan.batches(["topic_id", "partition", "offset", "value"]):
            result.rows += batch.num_rows
            for key, offsets, values in split_by_partition(batch):
                partition = partition_check(key)
                partition.count_outside_ranges(offsets)
                for committed, start, end in partition.overlapping_ranges(offsets):
                    range_checks[numbers[id(committed)]].add(
                        numbers[id(committed)], offsets[start:end], values.slice(start, end - start), buffer
                    )
        for key in sorted(partitions):
            partition = partitions[key]
            result.gaps += len(partition.chain.gaps)
            result.overlaps += len(partition.chain.overlaps)
            result.empty += partition.empty
            result.faults += partition.chain.gaps + partition.chain.overlaps
            if base := partition.chain.base:
                result.unverified += base
                name = f"partition {key[1]}, offsets 0 to {base - 1}"
                recorded = base - (partition.empty - partition.chain.empty)
                _compare_counts(name, recorded, partition.rows_below, partition.offsets_below, result)
        for number, range_check in enumerate(range_checks):
            range_check.finish(number, buffer, result)
    finally:
        buffer.close()
    for key, partition in sorted(partitions.items()):
        if partition.outside:
            result.duplicated += partition.outside
            result.faults.append(
                f"partition {key[1]}: {partition.outside} rows from offset {partition.first_outside} are in no commit"
            )
    result.faults = scan.faults + result.faults
    result.seconds = time.monotonic() - started
    return result


class _PartitionCheck:
    """A partition's ranges, and the rows found outside them."""

    def __init__(self, ranges: Sequence[CommittedRange], next_offset: int, empty: int, complete: bool) -> None:
        self.chain = check_continuity(ranges, next_offset, complete)
        self.empty = empty
        self.rows_below = 0
        """Rows below the first offset that the log covers."""
        self.offsets_below = 0
        """Distinct offsets of these rows."""
        self.outside = 0
        """Rows in no range."""
        self.first_outside = 0
        """The lowest offset of these rows."""
        self._seen = np.zeros(-(-self.chain.base // 8), np.uint8)
        """One bit per offset below the first that the log covers."""
        self._spans = _merge_ranges(self.chain.base, ranges)
        self._ranges = sorted(ranges, key=lambda committed: committed.start_offset)
        self._start_offsets = np.array([committed.start_offset for committed in self._ranges], np.int64)
        # Overlapping ranges need not end in the order in which they start.
        self._end_offsets = np.maximum.accumulate(
            np.array([committed.next_offset for committed in self._ranges], np.int64)
        )

    def count_outside_ranges(self, offsets: Offsets) -> None:
        """Counts the rows in no range, given their offsets in ascending order."""
        below = offsets[: np.searchsorted(offsets, self.chain.base)]
        if len(below):
            self.rows_below += len(below)
            below = np.unique(below)
            bits = np.left_shift(np.uint8(1), (below & 7).astype(np.uint8))
            new = (self._seen[below >> 3] & bits) == 0
            np.bitwise_or.at(self._seen, below >> 3, bits)
            self.offsets_below += int(new.sum())
        inside = np.zeros(len(offsets), np.bool_)
        for start_offset, next_offset in self._spans:
            start, end = np.searchsorted(offsets, [start_offset, next_offset])
            inside[start:end] = True
        outside = offsets[~inside]
        if len(outside):
            self.first_outside = min(self.first_outside, int(outside[0])) if self.outside else int(outside[0])
            self.outside += len(outside)

    def overlapping_ranges(self, offsets: Offsets) -> Iterator[tuple[CommittedRange, int, int]]:
        """Yields the ranges that contain any of the ascending offsets, with the slice of the offsets they contain."""
        low = int(np.searchsorted(self._end_offsets, offsets[0], "right"))
        high = int(np.searchsorted(self._start_offsets, offsets[-1], "right"))
        for committed in self._ranges[low:high]:
            start, end = np.searchsorted(offsets, [committed.start_offset, committed.next_offset])
            if end > start:
                yield committed, int(start), int(end)


class _RangeCheck:
    """Compares one recorded range with the rows in the files, which arrive in any order."""

    def __init__(self, recorded: CommittedRange) -> None:
        self._recorded = recorded
        self._rows = 0
        self._verified = False

    def add(self, key: int, offsets: Offsets, values: pa.Array, buffer: SpillBuffer) -> None:
        """Adds rows of the range. Once they are complete, they are verified and released."""
        self._rows += len(offsets)
        if self._verified:
            return
        buffer.add(key, offsets, values)
        if self._rows == self._recorded.rows:
            rows = buffer.take(key)
            if _count_distinct_offsets(rows) == self._rows and value_hash(rows["value"]) == self._recorded.hash:
                self._verified = True
            else:
                buffer.add(key, rows["offset"].to_numpy(), rows["value"].combine_chunks())

    def finish(self, key: int, buffer: SpillBuffer, result: Verification) -> None:
        """Adds the range's faults to the result."""
        name, recorded = self._recorded.text(), self._recorded.rows
        if self._verified:
            _compare_counts(name, recorded, self._rows, recorded, result)
            return
        rows = buffer.take(key)
        counts_match = _compare_counts(name, recorded, self._rows, _count_distinct_offsets(rows), result)
        if counts_match and value_hash(rows["value"]) != self._recorded.hash:
            result.wrong_hashes += 1
            result.faults.append(f"{name}: the hash of its values differs from the recorded one")


def _count_distinct_offsets(rows: pa.Table) -> int:
    return len(np.unique(rows["offset"].to_numpy()))


def _merge_ranges(base: int, ranges: Sequence[CommittedRange]) -> list[tuple[int, int]]:
    """Returns the offsets covered by any range, merged into as few spans as possible."""
    spans = [(0, base)] if base else []
    for start_offset, next_offset in sorted((committed.start_offset, committed.next_offset) for committed in ranges):
        if spans and start_offset <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(spans[-1][1], next_offset))
        else:
            spans.append((start_offset, next_offset))
    return spans


def _compare_counts(name: str, recorded: int, rows: int, distinct_offsets: int, result: Verification) -> bool:
    """Adds duplicated and missing rows to the result; returns whether the counts match."""
    if rows > distinct_offsets:
        result.duplicated += rows - distinct_offsets
        result.faults.append(f"{name}: {rows - distinct_offsets} rows are duplicated")
    if distinct_offsets < recorded:
        result.missing += recorded - distinct_offsets
        result.faults.append(f"{name}: {recorded - distinct_offsets} of {recorded} recorded rows are missing")
    if distinct_offsets > recorded:
        result.duplicated += distinct_offsets - recorded
        result.faults.append(f"{name}: {distinct_offsets - recorded} rows more than the {recorded} recorded")
    return rows == distinct_offsets == recorded
