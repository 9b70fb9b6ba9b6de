"""The lake's side of a comparison: what its log claims, and which offsets its files hold beyond the verified prefix."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import pyarrow as pa

from sluice.lake.layout import empty_id
from sluice.lake.ranges import PartitionKey, Range
from sluice.lake.reader import LakeReader
from sluice.reconcile.offsets import Offsets, OffsetSet
from sluice.reconcile.tally import Tally, add, offset_sum


@dataclass
class LakeSide:
    """One version of a stream's table, read from the verified prefix on."""

    next_offsets: dict[PartitionKey, int] = field(default_factory=dict)
    empty: dict[PartitionKey, int] = field(default_factory=dict)
    """Offsets below the next offset that have no record, according to the commits."""
    logged: dict[date, int | None] = field(default_factory=dict)
    """Rows of each date according to the log's statistics; None if a file has none."""
    read: Counter[date] = field(default_factory=Counter)
    """Rows of each date that were read."""
    tally: Tally = field(default_factory=dict)
    """The rows read below the end of the ledger."""
    offsets: dict[PartitionKey, OffsetSet] = field(default_factory=dict)
    """The offsets read of each partition, from its verified prefix on."""


def read_lake(
    reader: LakeReader,
    verified: Mapping[PartitionKey, int],
    ledger: Mapping[PartitionKey, int],
) -> LakeSide:
    """Reads the table's log, and the offsets that follow the verified prefixes, file by file.

    Args:
        reader: pinned to the version to read, which is no older than the ledger's position.
        verified: the first offset of each partition that is not verified; empty to read all rows.
        ledger: the ledger's next offset of each partition.

    Raises:
        TransientError, TerminalError: the store is down, or a file is missing or damaged.
    """
    side = LakeSide(reader.next_offsets(), logged=reader.rows_per_date())
    for key in ledger:
        side.next_offsets.setdefault(key, 0)
    side.empty = {key: reader.transaction(empty_id(*key)) for key in side.next_offsets}
    side.offsets = {key: OffsetSet() for key in side.next_offsets}
    for files, ranges in _parts(reader, verified, side.next_offsets):
        for day, batch in reader.offset_batches(files):
            for key, of_partition in _split(batch):
                offsets = _within(of_partition, ranges.get(key)) if ranges is not None else of_partition
                if not len(offsets):
                    continue
                side.read[day] += len(offsets)
                side.offsets.setdefault(key, OffsetSet()).add(offsets)
                loaded = offsets[offsets < ledger.get(key, 0)]
                if len(loaded):
                    add(side.tally, (*key, day), offset_sum(loaded))
    return side


def _parts(
    reader: LakeReader, verified: Mapping[PartitionKey, int], next_offsets: Mapping[PartitionKey, int]
) -> Iterator[tuple[pa.Table, dict[PartitionKey, Range] | None]]:
    """Yields files, and the ranges to read of each; None to read all rows of all files."""
    if not verified:
        # Without a condition, so that a row that belongs to no partition is noticed too.
        yield reader.files, None
        return
    ranges = [
        Range(*key, verified.get(key, 0), next_offset)
        for key, next_offset in next_offsets.items()
        if next_offset > verified.get(key, 0)
    ]
    for part in reader.slices(ranges):
        yield reader.candidate_files(part.ranges, part), {offsets.key: offsets for offsets in part.ranges}


def _within(offsets: Offsets, wanted: Range | None) -> Offsets:
    """Returns the offsets that a range contains."""
    if wanted is None:
        return offsets[:0]
    return offsets[(offsets >= wanted.start_offset) & (offsets < wanted.next_offset)]


def _split(batch: pa.RecordBatch) -> Iterator[tuple[PartitionKey, Offsets]]:
    """Yields a batch's offsets per partition."""
    topics, offsets = batch["topic_id"], batch["offset"].to_numpy()
    # One number per group, because comparing rows of two columns takes far longer.
    groups = (topics.indices.to_numpy().astype(np.int64) << 32) + batch["partition"].to_numpy()
    order = np.argsort(groups, kind="stable")
    groups, offsets = groups[order], offsets[order]
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    for group, of_partition in zip(groups[starts].tolist(), np.split(offsets, starts[1:]), strict=True):
        yield (topics.dictionary[group >> 32].as_py(), group & 0xFFFFFFFF), of_partition
