"""Where live view and batch differ, and why. Plain functions on rows."""

from dataclasses import dataclass
from itertools import groupby

from dashboard.queries import Hour, Progress


@dataclass(frozen=True)
class Comparison:
    """An hour of an airport, with a word on how live view and batch agree in it."""

    hour: Hour
    word: str
    good: bool
    """It is equal, or differs for a reason that passes by itself."""


def compare(hour: Hour, progress: Progress) -> Comparison:
    """Why an hour's figures are equal or differ, from how far both have come."""
    if hour.equal:
        return Comparison(hour, "equal", True)
    if progress.ahead:
        return Comparison(hour, "the batch has not loaded it all", True)
    if progress.pending:
        return Comparison(hour, "loaded, its marts are being built", True)
    if progress.behind:
        return Comparison(hour, "the live view has not read it all", True)
    return Comparison(hour, "differs: rules or rows were changed since it passed", False)


@dataclass(frozen=True)
class Bar:
    """Departures of all airports in an hour."""

    label: str
    live: int
    batch: int


def bars(hours: list[Hour]) -> list[Bar]:
    """Hours over all airports, oldest first."""
    by_time = groupby(sorted(hours, key=lambda each: each.hour), key=lambda each: each.hour)
    found = [(time, list(group)) for time, group in by_time]
    return [
        Bar(
            f"{time:%Y-%m-%d %H}:00",
            sum(each.live_departures for each in group),
            sum(each.batch_departures for each in group),
        )
        for time, group in found
    ]
