"""Values formatted for display. The functions are the templates' filters; a missing value is a dash."""

from datetime import UTC, datetime, timedelta
from typing import Any

from markupsafe import Markup

from sluice.escaping import escape, escape_bytes, shorten

MISSING = "–"
MAX_TEXT = 1_000
"""Characters of a text that a page shows."""


def printable(value: Any) -> Any:
    """Returns what a template prints: text without what could distort the page, and not longer than ``MAX_TEXT``."""
    return escape(shorten(value, MAX_TEXT)) if isinstance(value, str) and not isinstance(value, Markup) else value


def count(value: float | None) -> str:
    """Formats a whole number: 12,345."""
    return MISSING if value is None else f"{value:,.0f}"


def percent(value: float | None) -> str:
    """Formats a ratio from 0 to 1 as a percentage: 78.7 %."""
    return MISSING if value is None else f"{value:.1%}".replace("%", " %")


def decimal(value: float | None) -> str:
    """Formats a number to one decimal place: 12.5."""
    return MISSING if value is None else f"{value:,.1f}"


def delay(minutes: float | None) -> str:
    """Formats a delay in minutes: 12.5 min; a negative one as 2.1 min early."""
    if minutes is None:
        return MISSING
    rounded = round(minutes, 1)
    return f"{-rounded:,.1f} min early" if rounded < 0 else f"{abs(rounded):,.1f} min"


def timestamp(value: datetime | str | None) -> str:
    """Formats a time in UTC, to the minute: 2013-01-31 23:59. Text, which is a time beyond Python's, stays as it is."""
    if isinstance(value, str):
        return value
    return MISSING if value is None else value.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "minutes")


def duration(value: timedelta | None) -> str:
    """Formats a duration in its two largest units: 2 d 3 h, 5 min 12 s."""
    if value is None:
        return MISSING
    remaining = max(int(value.total_seconds()), 0)
    days, remaining = divmod(remaining, 86_400)
    hours, remaining = divmod(remaining, 3_600)
    minutes, seconds = divmod(remaining, 60)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (seconds, "s")]
    largest = next((index for index, (amount, _) in enumerate(parts) if amount), len(parts) - 1)
    return " ".join(f"{amount} {unit}" for amount, unit in parts[largest : largest + 2])


def about(value: timedelta) -> str:
    """Formats a duration in its largest unit alone: 2 d, 5 min."""
    return " ".join(duration(value).split(" ")[:2])


def ago(value: datetime | str | None, now: datetime | None = None) -> str:
    """Formats how long ago a time was: 5 min ago. Text, which is a time beyond Python's, stays as it is."""
    if isinstance(value, str):
        return value
    return MISSING if value is None else f"{about((now or datetime.now(UTC)) - value)} ago"


def rounded(value: float) -> str:
    """Formats a measured number that varies: 47, 600, 3,000."""
    return count(round(value, -len(str(int(value))) + 1) if value >= 100 else value)


def excerpt(value: bytes | None, limit: int = 240) -> str:
    """Returns the first ``limit`` bytes of a record as text, with bytes that are not printable as escapes."""
    if value is None:
        return "no value"
    return (escape_bytes(value[:limit]) or "empty") + ("…" if len(value) > limit else "")
