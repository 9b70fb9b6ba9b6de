"""A load's plan covers every new offset once, in groups that follow each other without a gap."""

from itertools import pairwise

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.lake.ranges import CommittedRange, Range
from sluice.load.plan import group_by_commits, halve, merge_ranges, new_ranges, split_evenly


def test_new_ranges_lead_from_the_ledgers_next_offsets_to_those_of_the_lake() -> None:
    lake_offsets = {("a", 0): 10, ("a", 1): 5, ("b", 0): 3}
    assert new_ranges({("a", 0): 5, ("a", 1): 5}, lake_offsets) == [Range("a", 0, 5, 10), Range("b", 0, 0, 3)]


def _assert_covers(groups: list[list[Range]], ranges: list[Range]) -> None:
    for offset_range in ranges:
        parts = [part for group in groups for part in group if part.key == offset_range.key]
        assert parts[0].start_offset == offset_range.start_offset
        assert parts[-1].next_offset == offset_range.next_offset
        assert all(before.next_offset == after.start_offset for before, after in pairwise(parts))
        assert all(part.start_offset < part.next_offset for part in parts)
    assert all(groups)


_ranges = st.lists(st.tuples(st.integers(0, 50), st.integers(1, 1000)), min_size=1, max_size=5).map(
    lambda pairs: [Range("t", partition, start, start + length) for partition, (start, length) in enumerate(pairs)]
)


@settings(deadline=None)
@given(_ranges, st.integers(1, 300))
def test_an_even_split_covers_every_offset_once_and_in_order(ranges: list[Range], count: int) -> None:
    groups = split_evenly(ranges, count)
    _assert_covers(groups, ranges)
    assert len(groups) <= count


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 50), st.integers(0, 50)), min_size=1), st.data())
def test_groups_end_where_commits_do(written: list[tuple[int, int, int]], data: st.DataObject) -> None:
    next_offsets = dict.fromkeys(range(3), 0)
    commits = []
    for version, (partition, length, rows) in enumerate(written):
        start = next_offsets[partition]
        next_offsets[partition] += length
        commits.append(CommittedRange(version, "t", partition, start, next_offsets[partition], min(rows, length), ""))
    ranges = [
        Range("t", partition, data.draw(st.integers(0, next_offset - 1)), next_offset)
        for partition, next_offset in next_offsets.items()
        if next_offset
    ]
    groups = group_by_commits(ranges, commits, 60)
    _assert_covers(groups, ranges)
    commit_ends = {(commit.key, commit.next_offset) for commit in commits}
    assert all((part.key, part.next_offset) in commit_ends for group in groups for part in group)
    for group in groups:
        rows = [
            commit.rows
            for commit in commits
            for part in group
            if commit.key == part.key and part.start_offset < commit.next_offset <= part.next_offset
        ]
        assert len(rows) == 1 or sum(rows) <= 60  # type: ignore[call-overload]


def test_a_wide_gap_does_not_get_a_group_of_its_own() -> None:
    commits = [
        CommittedRange(0, "t", 0, 0, 5, 5, ""),
        CommittedRange(1, "t", 0, 5, 10**12, 0, ""),
        CommittedRange(2, "t", 0, 10**12, 10**12 + 5, 5, ""),
    ]
    assert group_by_commits([Range("t", 0, 0, 10**12 + 5)], commits, 100) == [[Range("t", 0, 0, 10**12 + 5)]]


def _rows(*records: tuple[int, int]) -> pa.Table:
    """Rows of (partition, offset)."""
    return pa.table(
        {
            "topic_id": ["t"] * len(records),
            "partition": pa.array([partition for partition, _ in records], pa.int32()),
            "offset": pa.array([offset for _, offset in records], pa.int64()),
        }
    )


@settings(deadline=None)
@given(_ranges, st.data())
def test_halves_cover_the_whole_group(ranges: list[Range], data: st.DataObject) -> None:
    sample = [
        (offset_range.partition, data.draw(st.integers(offset_range.start_offset, offset_range.next_offset - 1)))
        for offset_range in ranges
        for _ in range(3)
    ]
    _assert_covers(halve(ranges, _rows(*sample)), ranges)


def test_halves_have_equal_shares_of_the_sampled_rows() -> None:
    sample = _rows(*((0, offset) for offset in range(10**9, 10**9 + 101)))
    assert halve([Range("t", 0, 0, 10**12)], sample) == [
        [Range("t", 0, 0, 10**9 + 50)],
        [Range("t", 0, 10**9 + 50, 10**12)],
    ]
    single_offsets = [Range("t", 0, 7, 8), Range("t", 1, 3, 4)]
    assert halve(single_offsets, _rows((0, 7), (1, 3))) == [[single_offsets[0]], [single_offsets[1]]]
    assert halve(single_offsets[:1], _rows((0, 7))) == [single_offsets[:1]]


def test_merged_ranges_are_one_per_partition() -> None:
    earlier = [Range("t", 0, 0, 5), Range("t", 1, 0, 5)]
    assert merge_ranges(earlier, [Range("t", 0, 5, 9), Range("t", 2, 1, 2)]) == [
        Range("t", 0, 0, 9),
        Range("t", 1, 0, 5),
        Range("t", 2, 1, 2),
    ]
    assert merge_ranges([], earlier) == earlier
