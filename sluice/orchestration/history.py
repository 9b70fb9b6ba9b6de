"""What a backfill may ask for: the event dates that history has, and what of them to make again."""

from datetime import date

from sluice.errors import TerminalError

FIRST_EVENT_DATE = date(2013, 1, 1)
LAST_EVENT_DATE = date(2014, 1, 1)
"""UTC dates. The last evening of 2013 in New York is 2014 there: its last flight landed at 08:30 on 1 January."""

REPROCESS = "rebuild"
"""The DAG that backfills are made of."""

RAW, MARTS, ALL = WHATS = ("raw", "marts", "all")
"""Raw rows from the lake, with the marts of dates where that changed any; the marts from the raw rows; or both."""


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


def what_to_make(text: str) -> str:
    """Reads what to make again.

    Raises:
        TerminalError: it is none of ``WHATS``.
    """
    if text not in WHATS:
        raise TerminalError(f"WHAT={text} is unknown", f"choose from {', '.join(WHATS)}")
    return text
