"""Checks values against the hashes in the lake's commits: Parquet does not detect a bit flip in a compressed value."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sluice.lake.chunk import value_hash
from sluice.lake.ranges import CommittedRange, PartitionKey, Range

RowIndices = npt.NDArray[np.int64]

_MIN_SLICE = 8
"""Values that a slice must hold, on average, to be cheaper than a copy."""


def find_altered(rows: pa.Table, group: Sequence[Range], commits: Sequence[CommittedRange]) -> CommittedRange | None:
    """Returns the first committed range whose values do not match the commit's hash; None if all match.

    Args:
        rows: topic_id, partition, offset and value of all of the group's rows, in any order.
        group: the offsets of the rows. A committed range that is only partly in it cannot be checked.
        commits: the ranges that the commits recorded.
    """
    ranges = {offset_range.key: offset_range for offset_range in group}
    checkable = [
        committed
        for committed in commits
        if (offset_range := ranges.get(committed.key))
        and offset_range.start_offset <= committed.start_offset
        and committed.next_offset <= offset_range.next_offset
    ]
    if not checkable:
        return None
    numbers = {key: number for number, key in enumerate(ranges)}
    partitions, offsets = _partition_numbers(rows, numbers), rows["offset"].to_numpy()
    # Both as one sort key: files hold long sorted runs, which a stable sort handles fast.
    sort_keys = partitions * (int(offsets.max(initial=0)) + 1) + offsets
    order = np.argsort(sort_keys, kind="stable")
    partitions, offsets = partitions[order], offsets[order]
    values = _SortedValues(rows["value"], order)
    for committed in checkable:
        number = numbers[committed.key]
        start, end = np.searchsorted(partitions, [number, number + 1])
        first, stop = start + np.searchsorted(offsets[start:end], [committed.start_offset, committed.next_offset])
        if value_hash(values.between(int(first), int(stop))) != committed.hash:
            return committed
    return None


class _SortedValues:
    """Values in sorted order, as consecutive slices that share the original bytes.

    Where records of many dates alternate, a slice would hold one value and a copy is cheaper.
    """

    def __init__(self, values: pa.ChunkedArray, order: RowIndices) -> None:
        chunk_ends = np.cumsum([len(chunk) for chunk in values.chunks])
        breaks = (np.diff(order) != 1) | (np.diff(np.searchsorted(chunk_ends, order, side="right")) != 0)
        starts = np.flatnonzero(breaks) + 1
        if len(starts) * _MIN_SLICE > len(order):
            values, order, starts = values.take(pa.array(order)), np.arange(len(order)), starts[:0]
        self._values = values
        self._order = order
        self._starts = np.concatenate([[0], starts, [len(order)]])

    def between(self, first: int, stop: int) -> pa.ChunkedArray:
        """Returns the values at the sorted positions from ``first`` up to, but not including, ``stop``."""
        inside = np.searchsorted(self._starts, [first, stop], side="right")
        bounds = [first, *self._starts[inside[0] : inside[1]].tolist(), stop]
        slices = [
            self._values.slice(int(self._order[start]), end - start) for start, end in pairwise(bounds) if end > start
        ]
        return pa.chunked_array([chunk for part in slices for chunk in part.chunks], self._values.type)


def _partition_numbers(rows: pa.Table, numbers: Mapping[PartitionKey, int]) -> RowIndices:
    """Returns the number of each row's partition."""
    topics = rows["topic_id"].combine_chunks().dictionary_encode()
    partitions = rows["partition"].to_numpy()
    width = max(partition for _, partition in numbers) + 1
    table = np.full((max(len(topics.dictionary), 1), width), -1)
    for index, topic_id in enumerate(topics.dictionary.to_pylist()):
        for partition in range(width):
            table[index, partition] = numbers.get((topic_id, partition), -1)
    result: RowIndices = table[topics.indices.to_numpy(), partitions]
    return result
