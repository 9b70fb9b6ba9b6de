"""What of the lake the warehouse does not have yet, in groups that fit in memory."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from operator import or_

import pyarrow as pa
import pyarrow.compute as pc

Place = tuple[str, int]
"""A topic's id and a partition."""


@dataclass(frozen=True)
class Range:
    """Offsets of one partition, from ``first`` up to, without, ``next``."""

    topic_id: str
    partition: int
    first: int
    next: int

    @property
    def place(self) -> Place:
        """Where it is."""
        return self.topic_id, self.partition


def new_ranges(held: pa.Table, heads: Mapping[Place, int], reached: Mapping[Place, int]) -> list[Range]:
    """The ranges that are in the lake beyond the ledger's heads.

    Args:
        held: rows of the lake with topic_id, partition and offset; those below the heads do not matter.
        heads: the ledger's next offset per place; 0 for a place that it does not know.
        reached: the lake's next offset per place: the last offsets before it need not hold a record.
    """
    ends = dict(reached)
    for row in held.group_by(["topic_id", "partition"]).aggregate([("offset", "max")]).to_pylist():
        place = (row["topic_id"], row["partition"])
        ends[place] = max(ends.get(place, 0), row["offset_max"] + 1)
    return [Range(*place, heads.get(place, 0), end) for place, end in sorted(ends.items()) if end > heads.get(place, 0)]


def grouped(ranges: list[Range], rows: int) -> list[list[Range]]:
    """Cuts ranges into groups of about ``rows`` offsets, each with its share of every partition.

    A partition's ranges follow each other without a gap, from group to group.
    """
    total = sum(each.next - each.first for each in ranges)
    count = max(1, -(-total // rows))
    groups: list[list[Range]] = []
    for index in range(count):
        group = []
        for each in ranges:
            length = each.next - each.first
            first, following = (each.first + length * step // count for step in (index, index + 1))
            if following > first:
                group.append(Range(each.topic_id, each.partition, first, following))
        if group:
            groups.append(group)
    return groups


def within(ranges: list[Range]) -> pc.Expression:
    """A filter for the lake's rows in any of the ranges (at least one)."""
    return reduce(
        or_,
        (
            (pc.field("topic_id") == each.topic_id)
            & (pc.field("partition") == each.partition)
            & (pc.field("offset") >= each.first)
            & (pc.field("offset") < each.next)
            for each in ranges
        ),
    )
