"""Dates laid out by months and weeks."""

import calendar
from dataclasses import dataclass
from datetime import date

from dashboard.queries import Group, Selection

LEVELS = (0.6, 0.7, 0.8, 0.9)
"""Where a day's colour changes, by its on-time share."""


@dataclass(frozen=True)
class Cell:
    """A day of the calendar; without figures where it had no flights or is not chosen."""

    day: date
    figures: Group | None

    @property
    def level(self) -> int | None:
        """0 (few on time) to 4 (nearly all); None without arrivals."""
        share = self.figures.on_time_share if self.figures else None
        return None if share is None else sum(share >= level for level in LEVELS)


@dataclass(frozen=True)
class Month:
    """A month, as weeks from Monday to Sunday; None for days of other months."""

    name: str
    weeks: list[list[Cell | None]]


def months(days: list[Group], chosen: Selection) -> list[Month]:
    """The months of a selection with figures per day."""
    figures = {date.fromisoformat(each.name): each for each in days}
    found = []
    year, month = chosen.first.year, chosen.first.month
    while (year, month) <= (chosen.last.year, chosen.last.month):
        weeks = [
            [Cell(each, figures.get(each)) if each.month == month else None for each in week]
            for week in calendar.Calendar().monthdatescalendar(year, month)
        ]
        found.append(Month(f"{calendar.month_name[month]} {year}", weeks))
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)
    return found
