"""What a backfill accepts: the event dates, and the scope of reprocessing."""

from datetime import date

from sluice.errors import TerminalError
from sluice.settings import Settings

REPROCESS = "reprocess"
"""The DAG that backfills run."""

RAW, MARTS, ALL = WHATS = ("raw", "marts", "all")
"""Scopes. ``raw``: raw rows from the lake, and the marts of dates where they changed; ``marts``: the marts from the
raw rows; ``all``: both.
"""


def event_date(settings: Settings, text: str, name: str) -> date:
    """Parses one end of a range, for instance ``event_date(settings, "2013-01-31", "TO")``.

    Raises:
        TerminalError: ``text`` is not a date, or is outside the data set.
    """
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise TerminalError(f"{name}={text} is not a date", "write it as 2013-01-31") from None
    first, last = settings.first_event_date, settings.last_event_date
    if not first <= day <= last:
        raise TerminalError(f"{name}={text} is outside the data set's event dates", f"choose from {first} to {last}")
    return day


def event_range(settings: Settings, first: str, last: str) -> tuple[date, date]:
    """Parses a range of event dates, both ends included.

    Raises:
        TerminalError: an end is not a date or is outside the data set, or the range is empty.
    """
    start, end = event_date(settings, first, "FROM"), event_date(settings, last, "TO")
    if start > end:
        raise TerminalError(f"FROM={first} is after TO={last}", "swap them")
    return start, end


def reprocess_scope(text: str) -> str:
    """Returns ``text`` if it is a scope.

    Raises:
        TerminalError: it is not one of ``WHATS``.
    """
    if text not in WHATS:
        raise TerminalError(f"WHAT={text} is unknown", f"choose from {', '.join(WHATS)}")
    return text
