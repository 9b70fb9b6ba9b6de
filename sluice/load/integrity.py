"""Whether values are the ones that were committed: Parquet does not notice a bit that changes in a compressed value."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sluice.lake.chunk import value_hash
from sluice.lake.ranges import CommittedRange, PartitionKey, Range

RowIndices = npt.NDArray[np.int64]

_SHORTEST = 8
"""Values that a slice must hold, on average, to cost less than a copy of them."""


def altered(rows: pa.Table, group: Sequence[Range], commits: Sequence[CommittedRange]) -> CommittedRange | None:
    """The first committed range whose values do not have the hash that the commit recorded; None if all have.

    Args:
        rows: topic_id, partition, offset and value, all of the group's rows, in any order.
        group: which offsets they are of. A commit's range that is only partly in it cannot be checked.
        commits: what the commits recorded.
    """
    whole = {each.key: each for each in group}
    inside = [
        each
        for each in commits
        if (held := whole.get(each.key))
        and held.start_offset <= each.start_offset
        and each.next_offset <= held.next_offset
    ]
    if not inside:
        return None
    numbers = {place: number for number, place in enumerate(whole)}
    places, offsets = _numbered(rows, numbers), rows["offset"].to_numpy()
    # Both as one key: files hold long runs in order, which a stable sort takes as they are.
    keys = places * (int(offsets.max(initial=0)) + 1) + offsets
    order = np.argsort(keys, kind="stable")
    places, offsets = places[order], offsets[order]
    values = _Values(rows["value"], order)
    for each in inside:
        start, end = np.searchsorted(places, [numbers[each.key], numbers[each.key] + 1])
        first, last = start + np.searchsorted(offsets[start:end], [each.start_offset, each.next_offset])
        if value_hash(values.between(int(first), int(last))) != each.hash:
            return each
    return None


class _Values:
    """Values in another order: as slices that follow each other in that order, without a copy of their bytes.

    Where records of many dates alternate a slice would hold one value, and a copy costs less.
    """

    def __init__(self, values: pa.ChunkedArray, order: RowIndices) -> None:
        chunks = np.cumsum([len(chunk) for chunk in values.chunks])
        joins = (np.diff(order) != 1) | (np.diff(np.searchsorted(chunks, order, side="right")) != 0)
        starts = np.flatnonzero(joins) + 1
        if len(starts) * _SHORTEST > len(order):
            values, order, starts = values.take(pa.array(order)), np.arange(len(order)), starts[:0]
        self._values = values
        self._order = order
        self._starts = np.concatenate([[0], starts, [len(order)]])

    def between(self, first: int, last: int) -> pa.ChunkedArray:
        """Those at the places ``first`` up to, without, ``last``."""
        inside = np.searchsorted(self._starts, [first, last], side="right")
        bounds = [first, *self._starts[inside[0] : inside[1]].tolist(), last]
        slices = [
            self._values.slice(int(self._order[start]), end - start) for start, end in pairwise(bounds) if end > start
        ]
        return pa.chunked_array([part for each in slices for part in each.chunks], self._values.type)


def _numbered(rows: pa.Table, numbers: Mapping[PartitionKey, int]) -> RowIndices:
    """The number of each row's place."""
    topics = rows["topic_id"].combine_chunks().dictionary_encode()
    partitions = rows["partition"].to_numpy()
    width = max(partition for _, partition in numbers) + 1
    found = np.full((max(len(topics.dictionary), 1), width), -1)
    for index, topic_id in enumerate(topics.dictionary.to_pylist()):
        for partition in range(width):
            found[index, partition] = numbers.get((topic_id, partition), -1)
    result: RowIndices = found[topics.indices.to_numpy(), partitions]
    return result
