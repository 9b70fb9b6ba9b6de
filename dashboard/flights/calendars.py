"""Dates laid out by month and week."""

import calendar
from dataclasses import dataclass
from datetime import date

from dashboard.flights.queries import Group, Selection

LEVELS = (0.6, 0.7, 0.8, 0.9)
"""The on-time shares at which the colour of a date changes."""


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
    """Returns every month of a selection, with the figures of each date. The groups are named by date, 2013-01-31."""
    figures = {date.fromisoformat(group.name): group for group in by_date}
    calendars = []
    year, month = selection.first.year, selection.first.month
    while (year, month) <= (selection.last.year, selection.last.month):
        weeks = [
            [Cell(day, figures.get(day)) if day.month == month else None for day in week]
            for week in calendar.Calendar().monthdatescalendar(year, month)
        ]
        calendars.append(Month(f"{calendar.month_name[month]} {year}", weeks))
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)
    return calendars
