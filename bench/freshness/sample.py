"""Samples of records, and the moments at which they can be read."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any, NamedTuple


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


class Position(NamedTuple):
    """How far a place has got in a partition, as the warehouse's tables have it."""

    stream: str
    partition: int
    next_offset: int


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

    def last(self) -> dict[Partition, int]:
        """Returns the next offsets of the last look."""
        return {key: next_offsets[-1] for key, next_offsets in list(self.next_offsets.items())}

    def reads(self, stream: str) -> bool:
        """Returns whether the stream has been seen in this place; the live view does not read every stream."""
        return any(stream == seen for seen, _ in list(self.next_offsets))

    def has_all(self, ends: Mapping[Partition, int]) -> bool:
        """Returns whether the last look found all records below some offsets, of at least one stream."""
        last = self.last()
        read = {key: next_offset for key, next_offset in ends.items() if self.reads(key[0])}
        return bool(read) and all(last.get(key, 0) >= next_offset for key, next_offset in read.items())

    def readable_at(self, sample: Sample) -> float:
        """Returns the moment of the first look that found the sample's record."""
        key = sample.stream, sample.partition
        index = bisect_right(self.next_offsets[key], sample.offset)
        return self.times[key][index]


def percentiles(values: Sequence[float], shares: Sequence[float]) -> list[float]:
    """Returns, for each share, the smallest value that at least this share of the values does not exceed."""
    ordered = sorted(values)
    return [ordered[max(0, ceil(share * len(ordered)) - 1)] for share in shares]


def distribution(delays: Sequence[float]) -> dict[str, Any]:
    """Returns the number of samples, and their delays in seconds at each half percent."""
    shares = [(number + 1) / 200 for number in range(200)]
    return {"samples": len(delays), "delays": [round(delay, 2) for delay in percentiles(delays, shares)]}
