"""Event dates as a heat map: a row per month, a cell per day."""

import calendar
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from dashboard.queries import EventDate

MAX_MONTHS = 24

STATES = {
    "pending": "loaded, marts not rebuilt yet",
    "quarantined": "records in quarantine",
    "late": "closed, with late events",
    "closed": "closed",
    "open": "events may still arrive",
}
"""What a cell can show and what it means, the most urgent first."""


def state(event_date: EventDate) -> str:
    """Returns the most urgent state of a date."""
    if event_date.pending:
        return "pending"
    if event_date.quarantined:
        return "quarantined"
    if not event_date.closed:
        return "open"
    return "late" if event_date.late else "closed"


@dataclass(frozen=True)
class Cell:
    """A day of a month, without an event date if nothing was loaded for it."""

    day: date
    event_date: EventDate | None

    @property
    def state(self) -> str:
        """The state by which the cell is coloured."""
        return state(self.event_date) if self.event_date else "none"


@dataclass(frozen=True)
class HeatMap:
    """The last months that have dates, the latest first, each with the cells of its days."""

    months: list[tuple[str, list[Cell]]]
    left_out: int
    """Dates that are not shown: those of earlier months, and those that Python does not have."""


def heat_map(event_dates: Iterable[EventDate]) -> HeatMap:
    """Returns the heat map of the last ``MAX_MONTHS`` months that have dates."""
    dates = list(event_dates)
    by_day = {entry.event_date: entry for entry in dates if isinstance(entry.event_date, date)}
    months = sorted({(day.year, day.month) for day in by_day}, reverse=True)[:MAX_MONTHS]
    rows = []
    shown = 0
    for year, month in months:
        days = [date(year, month, number) for number in range(1, calendar.monthrange(year, month)[1] + 1)]
        cells = [Cell(day, by_day.get(day)) for day in days]
        shown += sum(cell.event_date is not None for cell in cells)
        rows.append((f"{calendar.month_abbr[month]} {year}", cells))
    return HeatMap(rows, len(dates) - shown)
