"""How values are written for people."""

from datetime import UTC, datetime, timedelta

NOTHING = "–"


def count(value: float | None) -> str:
    """A whole number: 12,345."""
    return NOTHING if value is None else f"{value:,.0f}"


def share(value: float | None) -> str:
    """A share from 0 to 1: 78.7 %."""
    return NOTHING if value is None else f"{value:.1%}".replace("%", " %")


def minutes(value: float | None) -> str:
    """Minutes to a tenth: 12.5."""
    return NOTHING if value is None else f"{value:,.1f}"


def moment(value: datetime | None) -> str:
    """A time, UTC, to the minute: 2013-01-31 23:59."""
    return NOTHING if value is None else f"{value.astimezone(UTC):%Y-%m-%d %H:%M}"


def duration(value: timedelta | None) -> str:
    """How long something takes, in its two largest units: 2 d 3 h, 5 min 12 s."""
    if value is None:
        return NOTHING
    left = max(int(value.total_seconds()), 0)
    days, left = divmod(left, 86_400)
    hours, left = divmod(left, 3_600)
    whole, seconds = divmod(left, 60)
    parts = [(days, "d"), (hours, "h"), (whole, "min"), (seconds, "s")]
    first = next((place for place, (amount, _) in enumerate(parts) if amount), len(parts) - 1)
    return " ".join(f"{amount} {unit}" for amount, unit in parts[first : first + 2])


def ago(value: datetime | None) -> str:
    """How long ago a moment was."""
    return NOTHING if value is None else f"{duration(datetime.now(UTC) - value)} ago"


def excerpt(value: bytes | None, limit: int = 240) -> str:
    """The beginning of a record's bytes as text; what is no text is written as an escape."""
    if value is None:
        return "no value"
    text = value[:limit].decode("utf-8", "backslashreplace")
    shown = "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
    return (shown or "empty") + ("…" if len(value) > limit else "")
