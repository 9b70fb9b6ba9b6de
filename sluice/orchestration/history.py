"""The event dates that history has: what a backfill may ask for."""

from datetime import date

from sluice.errors import TerminalError

FIRST_EVENT_DATE = date(2013, 1, 1)
LAST_EVENT_DATE = date(2014, 1, 1)
"""UTC dates. The last evening of 2013 in New York is 2014 there: its last flight landed at 08:30 on 1 January."""


def event_date(text: str, name: str) -> date:
    """Reads one end of a range, for instance ``event_date("2013-01-31", "TO")``.

    Raises:
        TerminalError: ``text`` is no date, or history has nothing on it.
    """
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise TerminalError(f"{name}={text} is no date", "write it as 2013-01-31") from None
    if not FIRST_EVENT_DATE <= day <= LAST_EVENT_DATE:
        raise TerminalError(
            f"{name}={text} is outside the source's event dates", f"choose from {FIRST_EVENT_DATE} to {LAST_EVENT_DATE}"
        )
    return day


def event_range(first: str, last: str) -> tuple[date, date]:
    """Reads a range of event dates, both ends included.

    Raises:
        TerminalError: an end is no date or outside history, or the range is empty.
    """
    start, end = event_date(first, "FROM"), event_date(last, "TO")
    if start > end:
        raise TerminalError(f"FROM={first} is after TO={last}", "swap them")
    return start, end
