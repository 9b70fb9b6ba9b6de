"""A load's plan covers what is new, once, in groups that follow each other without a gap."""

from itertools import pairwise

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.lake.ranges import CommittedRange, Range
from sluice.load.plan import by_commits, by_shares, halves, joined, new_ranges


def test_new_ranges_lead_from_the_ledgers_heads_to_the_lakes() -> None:
    ends = {("a", 0): 10, ("a", 1): 5, ("b", 0): 3}
    assert new_ranges({("a", 0): 5, ("a", 1): 5}, ends) == [Range("a", 0, 5, 10), Range("b", 0, 0, 3)]


def _covers(groups: list[list[Range]], ranges: list[Range]) -> None:
    for each in ranges:
        cuts = [part for group in groups for part in group if part.key == each.key]
        assert cuts[0].start_offset == each.start_offset
        assert cuts[-1].next_offset == each.next_offset
        assert all(before.next_offset == after.start_offset for before, after in pairwise(cuts))
        assert all(part.start_offset < part.next_offset for part in cuts)
    assert all(groups)


_ranges = st.lists(st.tuples(st.integers(0, 50), st.integers(1, 1000)), min_size=1, max_size=5).map(
    lambda pairs: [Range("t", partition, first, first + length) for partition, (first, length) in enumerate(pairs)]
)


@settings(deadline=None)
@given(_ranges, st.integers(1, 300))
def test_shares_cover_every_offset_once_and_in_order(ranges: list[Range], count: int) -> None:
    groups = by_shares(ranges, count)
    _covers(groups, ranges)
    assert len(groups) <= count


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 50), st.integers(0, 50)), min_size=1), st.data())
def test_groups_end_where_commits_do(written: list[tuple[int, int, int]], data: st.DataObject) -> None:
    heads = dict.fromkeys(range(3), 0)
    commits = []
    for version, (partition, length, rows) in enumerate(written):
        first = heads[partition]
        heads[partition] += length
        commits.append(CommittedRange(version, "t", partition, first, heads[partition], min(rows, length), ""))
    ranges = [
        Range("t", partition, data.draw(st.integers(0, head - 1)), head) for partition, head in heads.items() if head
    ]
    groups = by_commits(ranges, commits, 60)
    _covers(groups, ranges)
    commit_ends = {(each.key, each.next_offset) for each in commits}
    assert all((each.key, each.next_offset) in commit_ends for group in groups for each in group)
    for group in groups:
        rows = [
            commit.rows
            for commit in commits
            for each in group
            if commit.key == each.key and each.start_offset < commit.next_offset <= each.next_offset
        ]
        assert len(rows) == 1 or sum(rows) <= 60


def test_a_wide_gap_is_no_group_of_its_own() -> None:
    commits = [
        CommittedRange(0, "t", 0, 0, 5, 5, ""),
        CommittedRange(1, "t", 0, 5, 10**12, 0, ""),
        CommittedRange(2, "t", 0, 10**12, 10**12 + 5, 5, ""),
    ]
    assert by_commits([Range("t", 0, 0, 10**12 + 5)], commits, 100) == [[Range("t", 0, 0, 10**12 + 5)]]


def _rows(*places: tuple[int, int]) -> pa.Table:
    return pa.table(
        {
            "topic_id": ["t"] * len(places),
            "partition": pa.array([partition for partition, _ in places], pa.int32()),
            "offset": pa.array([offset for _, offset in places], pa.int64()),
        }
    )


@settings(deadline=None)
@given(_ranges, st.data())
def test_halves_cover_what_they_halve(ranges: list[Range], data: st.DataObject) -> None:
    seen = [
        (each.partition, data.draw(st.integers(each.start_offset, each.next_offset - 1)))
        for each in ranges
        for _ in range(3)
    ]
    _covers(halves(ranges, _rows(*seen)), ranges)


def test_halves_go_by_the_rows_that_were_seen() -> None:
    seen = _rows(*((0, offset) for offset in range(10**9, 10**9 + 101)))
    assert halves([Range("t", 0, 0, 10**12)], seen) == [
        [Range("t", 0, 0, 10**9 + 50)],
        [Range("t", 0, 10**9 + 50, 10**12)],
    ]
    one_each = [Range("t", 0, 7, 8), Range("t", 1, 3, 4)]
    assert halves(one_each, _rows((0, 7), (1, 3))) == [[one_each[0]], [one_each[1]]]
    assert halves(one_each[:1], _rows((0, 7))) == [one_each[:1]]


def test_joined_ranges_are_one_per_place() -> None:
    earlier = [Range("t", 0, 0, 5), Range("t", 1, 0, 5)]
    assert joined(earlier, [Range("t", 0, 5, 9), Range("t", 2, 1, 2)]) == [
        Range("t", 0, 0, 9),
        Range("t", 1, 0, 5),
        Range("t", 2, 1, 2),
    ]
    assert joined([], earlier) == earlier
