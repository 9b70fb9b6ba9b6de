"""Where live view and batch differ, and why. Plain functions on rows."""

from dataclasses import dataclass
from itertools import groupby

from dashboard.flights.queries import AirportHour, Progress


@dataclass(frozen=True)
class Comparison:
    """An airport-hour, and whether live view and batch match in it."""

    hour: AirportHour
    status: str
    expected: bool
    """The figures match, or differ for a reason that resolves by itself."""


def compare(hour: AirportHour, progress: Progress) -> Comparison:
    """Returns whether an airport-hour's figures match and, if not, the reason that follows from the progress."""
    if hour.matches:
        return Comparison(hour, "matches", True)
    if progress.load_lag:
        return Comparison(hour, "batch behind: events not loaded yet", True)
    if progress.pending:
        return Comparison(hour, "batch behind: marts not built yet", True)
    if progress.live_lag:
        return Comparison(hour, "live view behind: events not read yet", True)
    return Comparison(hour, "differs: rules or rows changed after the live view read it", False)


def summary(hours: list[AirportHour]) -> str:
    """Returns one sentence on how many of the closed airport-hours match."""
    closed = [hour for hour in hours if hour.closed]
    differing = sum(not hour.matches for hour in closed)
    if not closed:
        return "No hour is closed yet."
    if differing:
        return f"{differing:,} of {len(closed):,} closed hours {'differs' if differing == 1 else 'differ'}."
    return "The only closed hour matches." if len(closed) == 1 else f"All {len(closed):,} closed hours match."


@dataclass(frozen=True)
class Bar:
    """The departures of all airports in one hour."""

    label: str
    live: int
    batch: int


def bars(hours: list[AirportHour]) -> list[Bar]:
    """Returns the departures per hour over all airports, the oldest hour first."""
    by_time = groupby(sorted(hours, key=lambda hour: hour.hour), key=lambda hour: hour.hour)
    groups = [(time, list(group)) for time, group in by_time]
    return [
        Bar(
            f"{time:%Y-%m-%d %H}:00",
            sum(hour.live_departures for hour in group),
            sum(hour.batch_departures for hour in group),
        )
        for time, group in groups
    ]
