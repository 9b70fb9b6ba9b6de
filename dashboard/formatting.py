"""Values formatted for display. The functions are the templates' filters; a missing value is a dash."""

from datetime import UTC, datetime, timedelta

MISSING = "–"


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


def timestamp(value: datetime | None) -> str:
    """Formats a time in UTC, to the minute: 2013-01-31 23:59."""
    return MISSING if value is None else f"{value.astimezone(UTC):%Y-%m-%d %H:%M}"


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


def ago(value: datetime | None) -> str:
    """Formats how long ago a time was: 5 min 12 s ago."""
    return MISSING if value is None else f"{duration(datetime.now(UTC) - value)} ago"


def excerpt(value: bytes | None, limit: int = 240) -> str:
    """Returns the first ``limit`` bytes of a record as text, with bytes that are not printable as escapes."""
    if value is None:
        return "no value"
    text = value[:limit].decode("utf-8", "backslashreplace")
    escaped = "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )
    return (escaped or "empty") + ("…" if len(value) > limit else "")
