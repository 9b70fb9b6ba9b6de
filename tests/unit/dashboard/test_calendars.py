"""Dates laid out by months and weeks."""

from datetime import date

from dashboard.calendars import months
from dashboard.queries import Group, Selection


def day(name: str, on_time: int, arrived: int = 100) -> Group:
    return Group(name, arrived, arrived, arrived, 0, on_time, 0.0, 0.0)


def test_every_month_of_a_selection_has_its_weeks_from_monday() -> None:
    found = months([day("2013-01-31", 95)], Selection(date(2012, 12, 30), date(2013, 2, 1)))
    assert [month.name for month in found] == ["December 2012", "January 2013", "February 2013"]
    january = found[1].weeks
    assert [len(week) for week in january] == [7] * 5
    # The first of January 2013 was a Tuesday.
    assert january[0][0] is None
    assert january[0][1] is not None
    assert january[0][1].day == date(2013, 1, 1)
    assert january[0][1].level is None
    assert january[4][3] is not None
    assert january[4][3].level == 4


def test_levels_change_at_their_limits() -> None:
    days = [day(f"2013-01-{n:02}", share) for n, share in enumerate((59, 60, 70, 80, 90), 1)]
    days.append(day("2013-01-06", 0, 0))
    weeks = months(days, Selection(date(2013, 1, 1), date(2013, 1, 31)))[0].weeks
    cells = [cell for week in weeks for cell in week if cell is not None]
    assert [cell.level for cell in cells[:6]] == [0, 1, 2, 3, 4, None]
