"""A load's plan covers what is new, once, in groups that follow each other without a gap."""

from itertools import pairwise

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from sluice.load.plan import Range, grouped, new_ranges


def test_new_ranges_begin_at_the_ledgers_heads() -> None:
    held = pa.table(
        {
            "topic_id": ["a", "a", "a", "b"],
            "partition": pa.array([0, 0, 1, 0], pa.int32()),
            "offset": [8, 9, 4, 2],
        }
    )
    assert new_ranges(held, {("a", 0): 5, ("a", 1): 5}, {}) == [Range("a", 0, 5, 10), Range("b", 0, 0, 3)]


def test_nothing_new_gives_no_range() -> None:
    held = pa.table({"topic_id": ["a"], "partition": pa.array([0], pa.int32()), "offset": [4]})
    assert new_ranges(held, {("a", 0): 5}, {}) == []


def test_new_ranges_go_on_to_the_lakes_head_where_no_row_is() -> None:
    held = pa.table({"topic_id": ["a", "a"], "partition": [0, 1], "offset": [9, 4]})
    reached = {("a", 0): 20, ("a", 1): 5, ("a", 2): 7, ("a", 3): 4}
    assert new_ranges(held, {("a", 0): 5, ("a", 1): 5, ("a", 3): 4}, reached) == [
        Range("a", 0, 5, 20),
        Range("a", 2, 0, 7),
    ]


_ranges = st.lists(st.tuples(st.integers(0, 50), st.integers(1, 1000)), min_size=1, max_size=5).map(
    lambda pairs: [Range("t", partition, first, first + length) for partition, (first, length) in enumerate(pairs)]
)


@given(_ranges, st.integers(1, 300))
def test_groups_cover_every_offset_once_and_in_order(ranges: list[Range], rows: int) -> None:
    groups = grouped(ranges, rows)
    for each in ranges:
        cuts = [part for group in groups for part in group if part.partition == each.partition]
        assert cuts[0].first == each.first
        assert cuts[-1].next == each.next
        assert all(before.next == after.first for before, after in pairwise(cuts))
    assert all(sum(part.next - part.first for part in group) <= rows + len(ranges) for group in groups)
