"""Samples of records, and the moments at which they can be read."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import NamedTuple


class Sample(NamedTuple):
    """A record, and when the broker acknowledged it, in seconds since 1970."""

    stream: str
    partition: int
    offset: int
    acknowledged: float
    flight_id: str | None
    """Of a departure: its flight, by which the marts know it."""


Partition = tuple[str, int]
"""A stream and a partition number."""


@dataclass
class Progress:
    """How far a place was at each look."""

    times: dict[Partition, list[float]] = field(default_factory=dict)
    next_offsets: dict[Partition, list[int]] = field(default_factory=dict)

    def add(self, moment: float, ends: Mapping[Partition, int]) -> None:
        """Adds a look at the place; next offsets never decrease."""
        for key, next_offset in ends.items():
            self.times.setdefault(key, []).append(moment)
            self.next_offsets.setdefault(key, []).append(next_offset)

    def has_all(self, ends: Mapping[Partition, int]) -> bool:
        """Returns whether the last look found all records below some offsets."""
        return all(self.next_offsets.get(key, [0])[-1] >= next_offset for key, next_offset in ends.items())

    def readable_at(self, sample: Sample) -> float:
        """Returns the moment of the first look that found the sample's record."""
        key = sample.stream, sample.partition
        index = bisect_right(self.next_offsets[key], sample.offset)
        return self.times[key][index]


def percentiles(values: Sequence[float], shares: Sequence[float]) -> list[float]:
    """Returns, for each share, the smallest value that at least this share of the values does not exceed."""
    ordered = sorted(values)
    return [ordered[max(0, ceil(share * len(ordered)) - 1)] for share in shares]
