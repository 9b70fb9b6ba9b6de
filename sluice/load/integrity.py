"""Whether values are the ones that were committed: Parquet does not notice a bit that changes in a compressed value."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from sluice.lake.chunk import value_hash
from sluice.lake.ranges import Place, Range, Recorded


def altered(rows: pa.Table, group: Sequence[Range], commits: Sequence[Recorded]) -> Recorded | None:
    """The first committed range whose values do not have the hash that the commit recorded; None if all have.

    Args:
        rows: topic_id, partition, offset and value, all of the group's rows, in any order.
        group: which offsets they are of. A commit's range that is only partly in it cannot be checked.
        commits: what the commits recorded.
    """
    whole = {each.place: each for each in group}
    inside = [
        each
        for each in commits
        if (held := whole.get(each.place)) and held.first <= each.first and each.next <= held.next
    ]
    if not inside:
        return None
    numbers = {place: number for number, place in enumerate(whole)}
    places, offsets = _numbered(rows, numbers), rows["offset"].to_numpy()
    order = np.lexsort((offsets, places))
    values = rows["value"].take(pa.array(order))
    places, offsets = places[order], offsets[order]
    for each in inside:
        start, end = np.searchsorted(places, [numbers[each.place], numbers[each.place] + 1])
        first, last = start + np.searchsorted(offsets[start:end], [each.first, each.next])
        if value_hash(values.slice(int(first), int(last - first))) != each.hash:
            return each
    return None


def _numbered(rows: pa.Table, numbers: Mapping[Place, int]) -> "np.ndarray[Any, np.dtype[np.int64]]":
    """The number of each row's place."""
    topics = rows["topic_id"].combine_chunks().dictionary_encode()
    partitions = rows["partition"].to_numpy()
    width = max(partition for _, partition in numbers) + 1
    found = np.full((max(len(topics.dictionary), 1), width), -1)
    for index, topic_id in enumerate(topics.dictionary.to_pylist()):
        for partition in range(width):
            found[index, partition] = numbers.get((topic_id, partition), -1)
    result: np.ndarray[Any, np.dtype[np.int64]] = found[topics.indices.to_numpy(), partitions]
    return result
