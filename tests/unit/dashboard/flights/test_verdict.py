"""Where live view and batch differ, and the reason that is shown."""

from datetime import UTC, datetime, timedelta

import pytest

from dashboard.flights.queries import AirportHour, Progress
from dashboard.flights.verdict import behind, compare, departures_chart, hour_totals, newest_closed, reopened, summary

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
    return Progress(load_lag, live_lag, pending)


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


def test_a_closed_hour_in_which_events_still_arrive_counts_as_open() -> None:
    waiting = airport_hour((3, 9, 1), (0, 0, 0), closed=True)
    equal = airport_hour((3, 9, 1), (3, 9, 1), closed=True)
    assert [hour.closed for hour in reopened([waiting, equal], progress(load_lag=3))] == [False, True]
    # Nothing is on its way: the difference is a fault.
    assert [hour.closed for hour in reopened([waiting, equal], progress())] == [True, True]


def test_the_newest_closed_hours_come_after_those_that_differ() -> None:
    times = [NOON + timedelta(hours=step) for step in range(4)]
    hours = [airport_hour((3, 9, 1), (3, 9, 1), time=time, closed=True) for time in times[:3]]
    differing = airport_hour((3, 9, 1), (3, 8, 1), time=times[0], closed=True)
    still_open = airport_hour((3, 9, 1), (0, 0, 0), time=times[3])
    assert newest_closed([*hours, differing, still_open], 3) == [differing, hours[2], hours[1]]


def test_hours_add_up_airports_and_a_side_that_has_not_come_is_absent_not_zero() -> None:
    hours = [
        airport_hour((1, 0, 0), (1, 0, 0), time=NOON, closed=True),
        airport_hour((4, 0, 0), (4, 0, 0), "JFK", time=NOON, closed=True),
        # Nothing at 13:00.
        airport_hour((5, 0, 0), (2, 0, 0), time=NOON + timedelta(hours=2)),
        airport_hour((6, 0, 0), (0, 0, 0), time=NOON + timedelta(hours=3)),
    ]
    totals = hour_totals(hours)
    assert [(total.live, total.batch) for total in totals] == [(5, 5), (0, 0), (5, 2), (6, None)]
    assert [total.behind for total in totals] == [False, False, True, True]
    assert behind(totals) == timedelta(hours=1)
    chart = departures_chart(totals, "1 January 2013")
    start = int(NOON.timestamp())
    assert list(chart.times) == [start + 3_600 * step for step in range(4)]
    assert list(chart.shaded) == [(start + 2 * 3_600, start + 4 * 3_600)]


def test_a_closed_hour_without_departures_in_the_batch_is_zero() -> None:
    totals = hour_totals([airport_hour((0, 0, 1), (0, 0, 1), closed=True)])
    assert [(total.live, total.batch, total.behind) for total in totals] == [(0, 0, False)]


def test_without_hours_nothing_is_drawn() -> None:
    assert hour_totals([]) == []
    assert behind([]) == timedelta(0)
