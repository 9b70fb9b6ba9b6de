"""Which partitions stand still."""

import pytest

from sluice.alerts.checks import Heads, stalled


@pytest.mark.parametrize(
    ("before", "ends", "after", "found"),
    [
        ({("a", 0): 5}, {("a", 0): 5}, {("a", 0): 5}, {}),  # the lake has all
        ({("a", 0): 5}, {("a", 0): 9}, {("a", 0): 9}, {}),  # the sink brought it
        ({("a", 0): 5}, {("a", 0): 9}, {("a", 0): 6}, {}),  # it goes on, slowly
        ({("a", 0): 5}, {("a", 0): 9}, {("a", 0): 5}, {("a", 0): 4}),
        ({}, {("a", 0): 3}, {}, {("a", 0): 3}),  # nothing of it was ever brought
        ({}, {("a", 0): 0}, {}, {}),  # and there is nothing
        ({("a", 0): 5, ("a", 1): 5}, {("a", 0): 9, ("a", 1): 9}, {("a", 0): 9, ("a", 1): 5}, {("a", 1): 4}),
        ({("old", 0): 7}, {("new", 0): 2}, {("old", 0): 7}, {("new", 0): 2}),  # a topic made again
    ],
)
def test_a_partition_stands_still_if_more_waits_and_the_lake_does_not_go_on(
    before: Heads, ends: Heads, after: Heads, found: Heads
) -> None:
    assert stalled(before, ends, after) == found
