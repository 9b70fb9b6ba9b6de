"""Dates laid out by month and week."""

import calendar
from dataclasses import dataclass
from datetime import date

from dashboard.flights.queries import Group, Selection

MAX_MONTHS = 24
"""How many months a page shows: the last of the selection."""
LEVELS = (0.6, 0.7, 0.8, 0.9)
"""The on-time shares at which the colour of a date changes."""
LEGEND = ("below 60 %", "60 to 70 %", "70 to 80 %", "80 to 90 %", "90 % or more")
"""The meaning of each colour."""


@dataclass(frozen=True)
class Cell:
    """A date of the calendar, without figures if it had no flights or is outside the selection."""

    day: date
    figures: Group | None

    @property
    def level(self) -> int | None:
        """0 (few on time) to 4 (nearly all); None without arrivals."""
        share = self.figures.on_time_share if self.figures else None
        return None if share is None else sum(share >= level for level in LEVELS)


@dataclass(frozen=True)
class Month:
    """A month, as weeks from Monday to Sunday; None for dates of other months."""

    name: str
    weeks: list[list[Cell | None]]


def months(by_date: list[Group], selection: Selection) -> list[Month]:
    """Returns the last ``MAX_MONTHS`` months of a selection, with the figures of each date, in order.

    The groups are named by date, 2013-01-31.
    """
    figures = {date.fromisoformat(group.name): group for group in by_date}
    last = _number(selection.last)
    first = max(_number(selection.first), last - MAX_MONTHS + 1)
    return [_month(*divmod(number, 12), figures) for number in range(first, last + 1)]


def months_left_out(selection: Selection) -> int:
    """Returns how many months of a selection ``months`` leaves out."""
    return max(_number(selection.last) - _number(selection.first) + 1 - MAX_MONTHS, 0)


def _number(day: date) -> int:
    """Returns the number of a date's month, counted from year 0."""
    return day.year * 12 + day.month - 1


def _month(year: int, index: int, figures: dict[date, Group]) -> Month:
    month = index + 1
    # Numbers of days, 0 outside the month: the weeks of December 9999 hold dates that Python does not have.
    weeks = [
        [Cell(day, figures.get(day)) if number and (day := date(year, month, number)) else None for number in week]
        for week in calendar.Calendar().monthdayscalendar(year, month)
    ]
    return Month(f"{calendar.month_name[month]} {year}", weeks)
