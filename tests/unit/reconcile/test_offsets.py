"""A set of offsets counts each offset once, however often and in whatever order it is added, and finds all holes."""

import tracemalloc
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.reconcile.offsets import OffsetSet

PAGES = st.integers(0, 3 * (1 << 16))
ANYWHERE = st.one_of(st.integers(0, 300), PAGES, st.integers(1 << 40, (1 << 40) + 100))
RUNS = st.tuples(ANYWHERE, st.integers(1, 200)).map(lambda run: list(range(run[0], run[0] + run[1])))


@settings(deadline=None, max_examples=50)
@given(st.lists(RUNS, max_size=8), ANYWHERE, st.integers(0, 70_000))
def test_distinct_repeated_and_missing_offsets_are_those_of_a_plain_set(
    added: list[list[int]], start: int, length: int
) -> None:
    offsets = OffsetSet()
    for run in added:
        offsets.add(np.array(run[::-1], np.int64))
    plain = {offset for run in added for offset in run}
    assert offsets.distinct == len(plain)
    assert offsets.repeated == sum(map(len, added)) - len(plain)
    holes = list(offsets.missing(start, start + length))
    missing = [offset for first, after in holes for offset in range(first, after)]
    assert missing == sorted(set(range(start, start + length)) - plain)
    assert all(earlier[1] < later[0] for earlier, later in pairwise(holes))


def test_a_hole_of_any_length_costs_nothing() -> None:
    offsets = OffsetSet()
    offsets.add(np.array([0, 10**15], np.int64))
    assert list(offsets.missing(0, 10**15 + 1)) == [(1, 10**15)]


def test_ten_million_offsets_take_two_megabytes() -> None:
    tracemalloc.start()
    try:
        offsets = OffsetSet()
        for start in range(0, 10_000_000, 50_000):
            offsets.add(np.arange(start, start + 50_000))
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (offsets.distinct, offsets.repeated) == (10_000_000, 0)
    assert size < 2 << 20
