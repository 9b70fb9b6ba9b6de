"""Plans a load: the offsets of the lake that the warehouse lacks, in groups that fit in memory."""

from collections.abc import Mapping, Sequence
from itertools import groupby

import pyarrow as pa

from sluice.lake.ranges import CommittedRange, PartitionKey, Range, cut_ranges


def new_ranges(ledger_offsets: Mapping[PartitionKey, int], lake_offsets: Mapping[PartitionKey, int]) -> list[Range]:
    """Returns the ranges of the lake that are not in the ledger yet.

    Args:
        ledger_offsets: the ledger's next offset per partition; a missing partition counts as 0.
        lake_offsets: the lake's next offset per partition.
    """
    return [
        Range(*key, ledger_offsets.get(key, 0), next_offset)
        for key, next_offset in sorted(lake_offsets.items())
        if next_offset > ledger_offsets.get(key, 0)
    ]


def group_by_commits(ranges: Sequence[Range], commits: Sequence[CommittedRange], rows: int) -> list[list[Range]]:
    """Cuts ranges at the ends of commits into groups of about ``rows`` rows, so that each file is in one group.

    Args:
        ranges: the ranges to cut.
        commits: the ranges of each commit, in the order of versions. They reach as far back as ``ranges``.
        rows: target size of a group; a single commit may have more.
    """
    remaining = {offset_range.key: offset_range for offset_range in ranges}
    groups: list[list[Range]] = []
    next_offsets: dict[PartitionKey, int] = {}
    count = 0
    for _, commit in groupby(commits, lambda committed: committed.version):
        relevant = [
            committed
            for committed in commit
            if committed.key in remaining and committed.next_offset > remaining[committed.key].start_offset
        ]
        size = sum(committed.rows for committed in relevant)
        if count and count + size > rows:
            groups.append(cut_ranges(remaining, next_offsets))
            next_offsets, count = {}, 0
        next_offsets |= {committed.key: committed.next_offset for committed in relevant}
        count += size
    groups.append(list(remaining.values()))
    return [group for group in groups if group]


def split_evenly(ranges: Sequence[Range], count: int) -> list[list[Range]]:
    """Cuts ranges into at most ``count`` groups, each with an equal share of every range."""
    groups = []
    for index in range(count):
        group = []
        for offset_range in ranges:
            length = offset_range.next_offset - offset_range.start_offset
            start_offset, next_offset = (
                offset_range.start_offset + length * step // count for step in (index, index + 1)
            )
            if next_offset > start_offset:
                group.append(Range(*offset_range.key, start_offset, next_offset))
        if group:
            groups.append(group)
    return groups


def halve(group: Sequence[Range], sample: pa.Table) -> list[list[Range]]:
    """Cuts a group in two, each with about half of the sampled rows; a group that cannot be cut is returned whole."""
    medians = sample.group_by(["topic_id", "partition"]).aggregate([("offset", "approximate_median")]).to_pylist()
    next_offsets = {(row["topic_id"], row["partition"]): int(row["offset_approximate_median"]) for row in medians}
    remaining = {offset_range.key: offset_range for offset_range in group}
    lower = cut_ranges(remaining, next_offsets)
    if lower:
        return [lower, list(remaining.values())]
    middle = len(group) // 2
    return [half for half in (list(group[:middle]), list(group[middle:])) if half]


def merge_ranges(earlier: Sequence[Range], later: Sequence[Range]) -> list[Range]:
    """Joins ranges with those that follow them: one range per partition."""
    merged = {offset_range.key: offset_range for offset_range in earlier}
    for offset_range in later:
        start_offset = merged.get(offset_range.key, offset_range).start_offset
        merged[offset_range.key] = Range(*offset_range.key, start_offset, offset_range.next_offset)
    return list(merged.values())
