"""Cuts what a commit writes, so that it has a limited number of event dates: each date of a commit is a file."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sluice.lake.chunk import Chunk
from sluice.lake.layout import PARTITION_COLUMN

Key = TypeVar("Key")


def limit_dates(chunks: Mapping[Key, Chunk], dates: int) -> Iterator[dict[Key, Chunk]]:
    """Yields the chunks as parts with at most ``dates`` event dates each, or one date per partition if that is more.

    A part of a partition follows the one before it in offsets, so each commit has all offsets below its progress.

    Args:
        chunks: the chunks of different partitions.
        dates: the limit.
    """
    if len(np.unique(np.concatenate([_days(chunk) for chunk in chunks.values()]))) <= dates:
        yield dict(chunks)
        return
    share = max(dates // len(chunks), 1)
    cut = {key: _cut(chunk, share) for key, chunk in chunks.items()}
    for number in range(max(map(len, cut.values()))):
        yield {key: parts[number] for key, parts in cut.items() if number < len(parts)}


def _cut(chunk: Chunk, dates: int) -> list[Chunk]:
    """Cuts a chunk before each record whose date is one too many."""
    days = _days(chunk)
    starts = [0]
    while True:
        _, first = np.unique(days[starts[-1] :], return_index=True)
        if len(first) <= dates:
            break
        starts.append(starts[-1] + int(np.sort(first)[dates]))
    offsets = chunk.rows["offset"].to_numpy()
    bounds = [chunk.start_offset, *(int(offsets[start]) for start in starts[1:]), chunk.next_offset]
    return [
        replace(
            chunk,
            start_offset=bounds[number],
            next_offset=bounds[number + 1],
            rows=chunk.rows.slice(start, end - start),
        )
        for number, (start, end) in enumerate(zip(starts, [*starts[1:], len(days)], strict=True))
    ]


def _days(chunk: Chunk) -> npt.NDArray[np.int32]:
    days: npt.NDArray[np.int32] = chunk.rows[PARTITION_COLUMN].cast(pa.int32()).to_numpy()
    return days
