"""The event dates that the first page shows: those in which flights arrive, of every month that is replayed."""

from datetime import UTC, date, datetime, timedelta

import pytest

from dashboard.flights.windows import MAX_WINDOWS, Window, windows

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def days(first: date, count: int, arrived_at: datetime = NOW) -> list[tuple[date, datetime]]:
    return [(first + timedelta(days=step), arrived_at) for step in range(count)]


def test_a_window_is_the_last_week_of_a_range() -> None:
    assert windows(days(date(2013, 1, 1), 31)) == [Window(date(2013, 1, 25), date(2013, 1, 31))]


def test_a_replay_of_another_month_is_shown_as_well() -> None:
    replayed = days(date(2013, 6, 1), 3, NOW - timedelta(hours=1))
    found = windows([*days(date(2013, 2, 1), 10), *replayed])
    assert found == [Window(date(2013, 2, 4), date(2013, 2, 10)), Window(date(2013, 6, 1), date(2013, 6, 3))]


def test_a_replay_that_adjoins_the_producers_dates_is_shown_as_well() -> None:
    loaded = days(date(2013, 1, 1), 31, NOW - timedelta(hours=2))
    produced = [(date(2013, 2, day), NOW - timedelta(hours=1, minutes=2 * (7 - day))) for day in range(1, 7)]
    # The producer has gone on from 7 February while March and the rest of February were replayed.
    produced += [(date(2013, 2, day), NOW - timedelta(minutes=2 * (12 - day))) for day in range(7, 13)]
    replayed = days(date(2013, 2, 13), 47, NOW - timedelta(minutes=30))
    assert windows([*loaded, *produced, *replayed])[:2] == [
        Window(date(2013, 2, 7), date(2013, 2, 12)),
        Window(date(2013, 3, 25), date(2013, 3, 31)),
    ]


def test_a_replay_of_dates_before_the_producers_is_shown_as_well() -> None:
    again = days(date(2013, 1, 1), 7, NOW - timedelta(minutes=1))
    loaded = days(date(2013, 1, 8), 24, NOW - timedelta(minutes=30))
    produced = [(date(2013, 2, day), NOW - timedelta(minutes=4 * (6 - day))) for day in range(1, 7)]
    assert windows([*again, *loaded, *produced]) == [
        Window(date(2013, 1, 31), date(2013, 2, 6)),
        Window(date(2013, 1, 1), date(2013, 1, 7)),
    ]


def test_the_latest_arrival_comes_first_and_old_ones_are_left_out() -> None:
    arrivals = [
        entry for month in range(1, 7) for entry in days(date(2013, month, 10), 1, NOW - timedelta(minutes=month))
    ]
    assert [window.first.month for window in windows(arrivals)] == list(range(1, MAX_WINDOWS + 1))


def test_without_arrivals_there_is_no_window() -> None:
    assert windows([]) == []


@pytest.mark.parametrize(
    ("first", "last", "label"),
    [
        (date(2013, 1, 24), date(2013, 1, 30), "24 to 30 January 2013"),
        (date(2013, 1, 29), date(2013, 2, 4), "29 January to 4 February 2013"),
        (date(2013, 12, 29), date(2014, 1, 1), "29 December 2013 to 1 January 2014"),
        (date(2013, 1, 5), date(2013, 1, 5), "5 January 2013"),
    ],
)
def test_a_window_is_named_in_words(first: date, last: date, label: str) -> None:
    assert Window(first, last).label == label
