"""Where live view and batch differ, and the reason that is shown."""

from datetime import UTC, datetime

import pytest

from dashboard.flights.queries import AirportHour, Progress
from dashboard.flights.verdict import Bar, bars, compare, summary

NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)


def airport_hour(
    live: tuple[int, int, int],
    batch: tuple[int, int, int],
    origin: str = "EWR",
    time: datetime = NOON,
    closed: bool = False,
) -> AirportHour:
    return AirportHour(origin, time, *live, *batch, closed=closed)


def progress(load_lag: int = 0, live_lag: int = 0, pending: int = 0) -> Progress:
    return Progress(NOON, NOON, load_lag, live_lag, pending)


@pytest.mark.parametrize(
    ("reached", "status", "expected"),
    [
        (progress(load_lag=3, pending=1), "batch behind: events not loaded yet", True),
        (progress(pending=1), "batch behind: marts not built yet", True),
        (progress(live_lag=1), "live view behind: events not read yet", True),
        (progress(), "differs: rules or rows changed after the live view read it", False),
    ],
)
def test_a_difference_has_the_reason_that_explains_it(reached: Progress, status: str, expected: bool) -> None:
    comparison = compare(airport_hour((3, 9, 1), (3, 8, 1)), reached)
    assert (comparison.status, comparison.expected) == (status, expected)


def test_matching_figures_need_no_reason() -> None:
    assert compare(airport_hour((3, 9, 1), (3, 9, 1)), progress(load_lag=5)).status == "matches"


@pytest.mark.parametrize("batch", [(2, 9, 1), (3, 8, 1), (3, 9, 0)])
def test_every_figure_is_compared(batch: tuple[int, int, int]) -> None:
    assert not airport_hour((3, 9, 1), batch).matches


@pytest.mark.parametrize(
    ("matching", "differing", "sentence"),
    [
        (0, 0, "No hour is closed yet."),
        (1, 0, "The only closed hour matches."),
        (1213, 0, "All 1,213 closed hours match."),
        (212, 1, "1 of 213 closed hours differs."),
        (210, 3, "3 of 213 closed hours differ."),
    ],
)
def test_the_summary_counts_closed_hours_only(matching: int, differing: int, sentence: str) -> None:
    hours = [
        *[airport_hour((3, 9, 1), (3, 9, 1), closed=True)] * matching,
        *[airport_hour((3, 9, 1), (3, 8, 1), closed=True)] * differing,
        airport_hour((3, 9, 1), (0, 0, 0)),
        airport_hour((3, 9, 1), (3, 9, 1)),
    ]
    assert summary(hours) == sentence


def test_bars_add_up_airports_in_ascending_order_of_time() -> None:
    eleven = NOON.replace(hour=11)
    hours = [
        airport_hour((1, 0, 0), (2, 0, 0)),
        airport_hour((4, 0, 0), (8, 0, 0), "JFK"),
        airport_hour((5, 0, 0), (5, 0, 0), time=eleven),
    ]
    assert bars(hours) == [Bar("2013-01-01 11:00", 5, 5), Bar("2013-01-01 12:00", 5, 10)]
