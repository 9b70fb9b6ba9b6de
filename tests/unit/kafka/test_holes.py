"""A hole in a partition's offsets is explained by control records and aborted transactions, and by nothing else."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.kafka.holes import Fetched, Hole, RecordBatch, remaining, unexplained

PLAIN, COMMITTED, ABORTED = 1, 2, 3
"""Producer ids."""
LOG = (
    RecordBatch(0, 10, PLAIN),
    RecordBatch(10, 20, ABORTED, transactional=True),
    RecordBatch(20, 30, COMMITTED, transactional=True),
    RecordBatch(30, 31, ABORTED, transactional=True, control=True, aborts=True),
    RecordBatch(31, 32, COMMITTED, transactional=True, control=True),
    # The same producer's next transaction is committed.
    RecordBatch(32, 40, ABORTED, transactional=True),
    RecordBatch(40, 41, ABORTED, transactional=True, control=True),
    # Compaction, or a damaged log, has taken 41 to 49.
    RecordBatch(50, 60, PLAIN),
)
ABORTS = ((ABORTED, 10),)


class Log:
    """Kafka's log, which returns a few batches at a time and counts how often it is asked."""

    def __init__(self, batches: Sequence[RecordBatch] = LOG, count: int = 2) -> None:
        self.batches, self.count, self.fetches = batches, count, 0

    def fetch(self, offset: int) -> Fetched:
        self.fetches += 1
        found = [batch for batch in self.batches if batch.end > offset][: self.count]
        end = found[-1].end if found else offset
        return Fetched(found, [entry for entry in ABORTS if entry[1] < end and offset <= 30])


@pytest.mark.parametrize("count", [1, 2, 10])
@pytest.mark.parametrize(
    ("hole", "left"),
    [
        ((10, 20), []),
        ((30, 32), []),
        ((40, 41), []),
        ((40, 50), [(41, 50)]),
        ((3, 5), [(3, 5)]),
        ((18, 22), [(20, 22)]),
        ((33, 35), [(33, 35)]),
        ((55, 70), [(55, 70)]),
    ],
)
def test_what_is_no_control_record_and_not_aborted_is_left_over(hole: Hole, left: list[Hole], count: int) -> None:
    assert list(unexplained([hole], Log(count=count).fetch)) == left


@pytest.mark.parametrize("count", [1, 2, 10])
def test_each_of_several_holes_is_judged_alone(count: int) -> None:
    holes = [(9, 10), (10, 12), (15, 20), (30, 31), (31, 32), (40, 45), (46, 51)]
    assert list(unexplained(holes, Log(count=count).fetch)) == [(9, 10), (41, 45), (46, 51)]


def test_each_batch_is_read_once_for_many_holes() -> None:
    batches = [RecordBatch(n, n + 1, control=n % 2 == 1) for n in range(1000)]
    log = Log(batches, 100)
    assert not list(unexplained([(n, n + 1) for n in range(1, 1000, 2)], log.fetch))
    assert log.fetches == 10


@settings(deadline=None)
@given(st.sets(st.integers(0, 40)), st.sets(st.integers(0, 40)), st.integers(0, 40), st.integers(0, 40))
def test_what_remains_of_a_hole_is_the_difference(firsts: set[int], lasts: set[int], start: int, end: int) -> None:
    ranges = list(zip(sorted(firsts), sorted(lasts), strict=False))
    explained = [(first, last) for first, last in ranges if first < last]
    ordered = [item for n, item in enumerate(explained) if n == 0 or item[0] >= explained[n - 1][1]]
    left = {offset for first, after in remaining((start, end), ordered) for offset in range(first, after)}
    assert left == set(range(start, end)) - {offset for first, last in ordered for offset in range(first, last)}
