"""Dates laid out by month and week."""

from datetime import date

from dashboard.flights.calendars import MAX_MONTHS, months, months_left_out
from dashboard.flights.queries import Group, Selection


def group(day: str, on_time: int, arrived: int = 100) -> Group:
    return Group(day, arrived, arrived, arrived, 0, on_time, 0.0, 0.0)


def test_every_month_of_a_selection_has_weeks_from_monday() -> None:
    calendars = months([group("2013-01-31", 95)], Selection(date(2012, 12, 30), date(2013, 2, 1)))
    assert [month.name for month in calendars] == ["December 2012", "January 2013", "February 2013"]
    january = calendars[1].weeks
    assert [len(week) for week in january] == [7] * 5
    # The first of January 2013 was a Tuesday.
    assert january[0][0] is None
    assert january[0][1] is not None
    assert january[0][1].day == date(2013, 1, 1)
    assert january[0][1].level is None
    assert january[4][3] is not None
    assert january[4][3].level == 4


def test_levels_change_at_their_thresholds() -> None:
    groups = [group(f"2013-01-{day:02}", share) for day, share in enumerate((59, 60, 70, 80, 90), 1)]
    groups.append(group("2013-01-06", 0, 0))
    weeks = months(groups, Selection(date(2013, 1, 1), date(2013, 1, 31)))[0].weeks
    cells = [cell for week in weeks for cell in week if cell is not None]
    assert [cell.level for cell in cells[:6]] == [0, 1, 2, 3, 4, None]


def test_a_calendar_is_as_long_as_a_page_can_hold_and_shows_every_year() -> None:
    selection = Selection(date(1, 1, 1), date(9999, 12, 31))
    calendars = months([group("0001-01-01", 95), group("9999-12-31", 95)], selection)
    assert (len(calendars), calendars[-1].name) == (MAX_MONTHS, "December 9999")
    assert months_left_out(selection) == 9999 * 12 - MAX_MONTHS
    cells = [cell for week in calendars[-1].weeks for cell in week if cell is not None]
    assert cells[-1].level == 4
    first = months([group("0001-01-01", 95)], Selection(date(1, 1, 1), date(1, 1, 1)))
    assert [month.name for month in first] == ["January 1"]
    assert months_left_out(Selection(date(2013, 1, 1), date(2013, 2, 1))) == 0
