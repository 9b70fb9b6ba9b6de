"""What of the lake the warehouse does not have yet, in groups that fit in memory."""

from collections.abc import Mapping, Sequence
from itertools import groupby

import pyarrow as pa

from sluice.lake.ranges import CommittedRange, PartitionKey, Range


def new_ranges(heads: Mapping[PartitionKey, int], ends: Mapping[PartitionKey, int]) -> list[Range]:
    """The ranges that are in the lake beyond the ledger's heads.

    Args:
        heads: the ledger's next offset per place; 0 for a place that it does not know.
        ends: the lake's.
    """
    return [Range(*place, heads.get(place, 0), end) for place, end in sorted(ends.items()) if end > heads.get(place, 0)]


def by_commits(ranges: Sequence[Range], commits: Sequence[CommittedRange], rows: int) -> list[list[Range]]:
    """Cuts ranges where commits end, into groups of about ``rows`` rows: each file is then in one group.

    Args:
        ranges: what is to be cut.
        commits: what each commit brought, in the order of versions. They reach as far back as the ranges.
        rows: of a group; one commit may have more.
    """
    left = {each.key: each for each in ranges}
    groups: list[list[Range]] = []
    ends: dict[PartitionKey, int] = {}
    count = 0
    for _, commit in groupby(commits, lambda each: each.version):
        brought = [each for each in commit if each.key in left and each.next_offset > left[each.key].start_offset]
        size = sum(each.rows for each in brought)
        if count and count + size > rows:
            groups.append(_taken(left, ends))
            ends, count = {}, 0
        ends |= {each.key: each.next_offset for each in brought}
        count += size
    groups.append(list(left.values()))
    return [group for group in groups if group]


def by_shares(ranges: Sequence[Range], count: int) -> list[list[Range]]:
    """Cuts ranges into ``count`` groups, each with its share of every range."""
    groups = []
    for index in range(count):
        group = []
        for each in ranges:
            length = each.next_offset - each.start_offset
            first, following = (each.start_offset + length * step // count for step in (index, index + 1))
            if following > first:
                group.append(Range(*each.key, first, following))
        if group:
            groups.append(group)
    return groups


def halves(group: Sequence[Range], seen: pa.Table) -> list[list[Range]]:
    """Cuts a group in two, so that about half of the rows seen of it is in each; one that cannot be cut stays whole."""
    middles = seen.group_by(["topic_id", "partition"]).aggregate([("offset", "approximate_median")]).to_pylist()
    ends = {(row["topic_id"], row["partition"]): int(row["offset_approximate_median"]) for row in middles}
    left = {each.key: each for each in group}
    lower = _taken(left, ends)
    if lower:
        return [lower, list(left.values())]
    middle = len(group) // 2
    return [half for half in (list(group[:middle]), list(group[middle:])) if half]


def joined(earlier: Sequence[Range], later: Sequence[Range]) -> list[Range]:
    """Ranges and those that follow them, as one per place."""
    ranges = {each.key: each for each in earlier}
    for each in later:
        ranges[each.key] = Range(*each.key, ranges.get(each.key, each).start_offset, each.next_offset)
    return list(ranges.values())


def _taken(left: dict[PartitionKey, Range], ends: Mapping[PartitionKey, int]) -> list[Range]:
    """Takes off what lies before the given ends."""
    taken = []
    for place, end in ends.items():
        whole = left.get(place)
        if whole is None or end <= whole.start_offset:
            continue
        cut = min(end, whole.next_offset)
        taken.append(Range(*place, whole.start_offset, cut))
        if cut == whole.next_offset:
            del left[place]
        else:
            left[place] = Range(*place, cut, whole.next_offset)
    return taken
