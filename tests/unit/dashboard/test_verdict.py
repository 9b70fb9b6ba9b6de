"""Where live view and batch differ, and the reason that is given."""

from datetime import UTC, datetime

import pytest

from dashboard.queries import Hour, Progress
from dashboard.verdict import Bar, bars, compare

NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)


def hour(live: tuple[int, int, int], batch: tuple[int, int, int], origin: str = "EWR", at: datetime = NOON) -> Hour:
    return Hour(origin, at, *live, *batch, closed=False)


def progress(ahead: int = 0, behind: int = 0, pending: int = 0) -> Progress:
    return Progress(NOON, NOON, ahead, behind, pending)


@pytest.mark.parametrize(
    ("so_far", "word", "good"),
    [
        (progress(ahead=3, pending=1), "the batch has not loaded it all", True),
        (progress(pending=1), "loaded, its marts are being built", True),
        (progress(behind=1), "the live view has not read it all", True),
        (progress(), "differs: rules or rows were changed since it passed", False),
    ],
)
def test_a_difference_has_the_reason_that_explains_it(so_far: Progress, word: str, good: bool) -> None:
    found = compare(hour((3, 9, 1), (3, 8, 1)), so_far)
    assert (found.word, found.good) == (word, good)


def test_equal_figures_need_no_reason() -> None:
    assert compare(hour((3, 9, 1), (3, 9, 1)), progress(ahead=5)).word == "equal"


@pytest.mark.parametrize("batch", [(2, 9, 1), (3, 8, 1), (3, 9, 0)])
def test_any_figure_counts(batch: tuple[int, int, int]) -> None:
    assert not hour((3, 9, 1), batch).equal


def test_bars_add_airports_up_and_go_forward_in_time() -> None:
    eleven = NOON.replace(hour=11)
    found = bars([hour((1, 0, 0), (2, 0, 0)), hour((4, 0, 0), (8, 0, 0), "JFK"), hour((5, 0, 0), (5, 0, 0), at=eleven)])
    assert found == [Bar("2013-01-01 11:00", 5, 5), Bar("2013-01-01 12:00", 5, 10)]
