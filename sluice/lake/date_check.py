"""Checks one event date's rows against the hashes that the commits recorded for the date."""

from collections.abc import Iterator, Sequence
from datetime import date
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sluice.lake.chunk import matches
from sluice.lake.ranges import CommittedRange, DateHash, PartitionKey, Range
from sluice.lake.spill_buffer import SpillBuffer

BUFFER_BYTES = 64 << 20
"""Bytes of rows kept in memory until their range is complete; further rows go to temporary files."""

Offsets = npt.NDArray[np.int64]


class DateCheck:
    """The rows of one date, compared range by range. Rows arrive in any order."""

    def __init__(self, day: date, ranges: Sequence[Range], commits: Sequence[CommittedRange]) -> None:
        """Prepares the comparison.

        Args:
            day: the event date.
            ranges: the offsets whose rows follow. A commit that is only partly among them is not checked.
            commits: what the commits recorded.
        """
        self._day = day
        wanted = {offsets.key: offsets for offsets in ranges}
        self._commits: dict[PartitionKey, list[CommittedRange]] = {}
        for committed in commits:
            offsets = wanted.get(committed.key)
            contained = (
                offsets is not None
                and offsets.start_offset <= committed.start_offset
                and committed.next_offset <= offsets.next_offset
            )
            if contained and (day in committed.dates or not committed.dates):
                self._commits.setdefault(committed.key, []).append(committed)
        for recorded in self._commits.values():
            recorded.sort(key=lambda committed: committed.start_offset)
        self._starts = {key: _starts(recorded) for key, recorded in self._commits.items()}
        self._numbers = {
            key: number
            for number, key in enumerate((key, n) for key in self._commits for n in range(len(self._commits[key])))
        }
        self._pending = set(self._numbers)
        self._counts = dict.fromkeys(self._numbers, 0)
        self._buffer = SpillBuffer(BUFFER_BYTES)

    def add(self, rows: pa.RecordBatch) -> None:
        """Adds rows: topic_id, partition, offset and value."""
        for key, offsets, values in split_by_partition(rows):
            if key not in self._commits:
                continue
            indices = np.searchsorted(self._starts[key], offsets, "right") - 1
            bounds = [0, *(np.flatnonzero(np.diff(indices)) + 1).tolist(), len(offsets)]
            for start, end in pairwise(bounds):
                number = int(indices[start])
                if number < 0:
                    continue
                stop = start + int(np.searchsorted(offsets[start:end], self._commits[key][number].next_offset))
                self._add(key, number, offsets[start:stop], values.slice(start, stop - start))

    def altered(self) -> tuple[CommittedRange, str] | None:
        """Returns the first range whose rows differ from those committed, and how; None if all agree."""
        try:
            for key, number in sorted(self._pending):
                committed = self._commits[key][number]
                recorded = committed.dates.get(self._day)
                rows = self._counts[key, number]
                if recorded is None and rows != committed.rows:
                    # Written before hashes were recorded per date, and not on this date alone.
                    continue
                recorded = recorded or DateHash(committed.rows, committed.hash)
                if rows != recorded.rows:
                    return committed, f"{rows} of {recorded.rows} rows of {self._day} are there"
                if not matches(self._buffer.take(self._numbers[key, number])["value"], recorded.hash):
                    return committed, f"the values of {self._day} differ from those committed"
            return None
        finally:
            self._buffer.close()

    def _add(self, key: PartitionKey, number: int, offsets: Offsets, values: pa.Array) -> None:
        if not len(offsets):
            return
        self._counts[key, number] += len(offsets)
        self._buffer.add(self._numbers[key, number], offsets, values)
        recorded = self._commits[key][number].dates.get(self._day)
        if recorded is not None and self._counts[key, number] == recorded.rows:
            rows = self._buffer.take(self._numbers[key, number])
            if matches(rows["value"], recorded.hash):
                # Complete: released from memory. A further row makes it wrong.
                self._pending.discard((key, number))
                return
            self._buffer.add(self._numbers[key, number], rows["offset"].to_numpy(), rows["value"].combine_chunks())
        self._pending.add((key, number))


def split_by_partition(batch: pa.RecordBatch) -> Iterator[tuple[PartitionKey, Offsets, pa.Array]]:
    """Yields, per partition, the batch's offsets in ascending order and their values."""
    # Compacted files are read as view types, which few functions support.
    topics = batch["topic_id"].cast(pa.string()).dictionary_encode()
    codes, partitions, offsets = topics.indices.to_numpy(), batch["partition"].to_numpy(), batch["offset"].to_numpy()
    order = np.lexsort((offsets, partitions, codes))
    codes, partitions, offsets = codes[order], partitions[order], offsets[order]
    values = batch["value"].cast(pa.binary()).take(pa.array(order))
    starts = [0, *(np.flatnonzero((np.diff(codes) != 0) | (np.diff(partitions) != 0)) + 1).tolist(), len(order)]
    for start, end in pairwise(starts):
        if end > start:
            key = (topics.dictionary[int(codes[start])].as_py(), int(partitions[start]))
            yield key, offsets[start:end], values.slice(start, end - start)


def _starts(commits: Sequence[CommittedRange]) -> Offsets:
    return np.array([committed.start_offset for committed in commits], np.int64)
