"""Where live view and batch differ, and why. Plain functions on rows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import groupby

from dashboard.charts import HOUR, Chart, Series, spans
from dashboard.flights.queries import AirportHour, Progress

STEP = timedelta(hours=1)


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


def reopened(hours: Sequence[AirportHour], progress: Progress) -> list[AirportHour]:
    """Returns the hours, of which those that differ for an expected reason count as open.

    A replay of another month may have moved the watermark past dates in which events still arrive.
    """
    return [
        replace(hour, closed=False) if hour.closed and not hour.matches and compare(hour, progress).expected else hour
        for hour in hours
    ]


def summary(hours: Sequence[AirportHour]) -> str:
    """Returns one sentence on how many of the closed airport-hours match."""
    closed = [hour for hour in hours if hour.closed]
    differing = sum(not hour.matches for hour in closed)
    if not closed:
        return "No hour is closed yet."
    if differing:
        return f"{differing:,} of {len(closed):,} closed hours {'differs' if differing == 1 else 'differ'}."
    return "The only closed hour matches." if len(closed) == 1 else f"All {len(closed):,} closed hours match."


def newest_closed(hours: Sequence[AirportHour], limit: int) -> list[AirportHour]:
    """Returns the closed airport-hours that differ, then the newest that match; at most ``limit``."""
    closed = sorted((hour for hour in hours if hour.closed), key=lambda hour: hour.origin)
    closed.sort(key=lambda hour: hour.hour, reverse=True)
    return sorted(closed, key=lambda hour: hour.matches)[:limit]


@dataclass(frozen=True)
class HourTotal:
    """The departures of all airports in one hour; None, not 0, where a side has not come that far."""

    time: int
    """Seconds since 1970."""
    live: int | None
    batch: int | None
    closed: bool
    behind: bool
    """Whether the batch has yet to show all that the live view does."""


def hour_totals(hours: Sequence[AirportHour]) -> list[HourTotal]:
    """Returns the departures per hour over all airports, from the first hour to the last; hours between have 0."""
    ascending = sorted(hours, key=lambda hour: hour.hour)
    by_time = {time: list(group) for time, group in groupby(ascending, key=lambda hour: hour.hour)}
    if not by_time:
        return []
    first, last = min(by_time), max(by_time)
    ends = {
        side: max((time for time, group in by_time.items() if any(getattr(hour, side) for hour in group)), default=None)
        for side in ("live_departures", "batch_departures")
    }
    totals = []
    for step in range((last - first) // STEP + 1):
        time = first + step * STEP
        group = by_time.get(time, [])
        closed = bool(group) and all(hour.closed for hour in group)
        live, batch = (
            sum(getattr(hour, side) for hour in group) if closed or (end is not None and time <= end) else None
            for side, end in ends.items()
        )
        behind = batch is None or any(not hour.closed and not hour.matches for hour in group)
        totals.append(HourTotal(int(time.timestamp()), live, batch, closed, behind))
    return totals


def shaded(totals: Sequence[HourTotal]) -> list[tuple[int, int]]:
    """Returns the ranges of time in which the batch is behind: from the first such hour on, all that are not closed."""
    first = next((total.time for total in totals if total.behind), None)
    open_hours = [first is not None and total.time >= first and not total.closed for total in totals]
    return spans([total.time for total in totals], open_hours, HOUR)


def behind(totals: Sequence[HourTotal]) -> timedelta:
    """Returns how much event time the batch is behind the live view."""
    live = sum(total.live is not None for total in totals)
    batch = sum(total.batch is not None for total in totals)
    return max(live - batch, 0) * STEP


def departures_chart(totals: Sequence[HourTotal], label: str) -> Chart:
    """Returns the chart of departures per hour, shaded where the batch is behind."""
    times = [total.time for total in totals]
    return Chart(
        f"Departures per hour, all airports, {label}",
        times,
        [
            Series("Live view", "bars", "live", [total.live for total in totals]),
            Series("Batch", "steps", "batch", [total.batch for total in totals]),
        ],
        step=HOUR,
        shaded=shaded(totals),
        shade="the batch has not come yet",
    )
