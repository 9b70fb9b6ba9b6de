"""The ranges of event dates in which flights arrive: the first page compares live view and batch in each."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

MAX_DATES = 7
"""How many dates of a range a window shows: its last ones."""
MAX_WINDOWS = 3
TOGETHER = timedelta(minutes=10)
"""Adjacent dates whose last events arrived further apart were sent apart: one of them was replayed."""


@dataclass(frozen=True)
class Window:
    """Adjacent event dates (UTC, both included)."""

    first: date
    last: date

    @property
    def label(self) -> str:
        """The dates in words: 24 to 30 January 2013."""
        if self.first == self.last:
            return f"{self.last.day} {self.last:%B} {self.last.year}"
        if (self.first.year, self.first.month) == (self.last.year, self.last.month):
            return f"{self.first.day} to {self.last.day} {self.last:%B} {self.last.year}"
        year = f" {self.first.year}" if self.first.year != self.last.year else ""
        return f"{self.first.day} {self.first:%B}{year} to {self.last.day} {self.last:%B} {self.last.year}"


def windows(arrivals: Iterable[tuple[date, datetime]]) -> list[Window]:
    """Returns the ends of the ranges in which events have arrived, the latest arrival first; at most ``MAX_WINDOWS``.

    A replay has a range of its own beside that of the producer, also where its dates adjoin those.

    Args:
        arrivals: event dates, ascending, with the time when events last arrived in them.
    """
    ranges: list[tuple[Window, datetime]] = []
    before: datetime | None = None
    for day, arrived_at in arrivals:
        is_next = bool(ranges) and day - ranges[-1][0].last <= timedelta(days=1)
        if is_next and before is not None and abs(arrived_at - before) <= TOGETHER:
            window, latest = ranges[-1]
            ranges[-1] = (Window(window.first, day), max(latest, arrived_at))
        else:
            ranges.append((Window(day, day), arrived_at))
        before = arrived_at
    # The later range comes first of two in which events arrived at the same time.
    latest_first = sorted(ranges, key=lambda entry: (entry[1], entry[0].last), reverse=True)
    return [
        Window(max(window.first, window.last - timedelta(days=MAX_DATES - 1)), window.last)
        for window, _ in latest_first[:MAX_WINDOWS]
    ]
