"""The event dates and the scope that a backfill accepts."""

from collections.abc import Iterable
from datetime import date

from sluice.contracts import Contract
from sluice.errors import TerminalError

REPROCESS = "reprocess"
"""The DAG that backfills run."""

RAW, MARTS, ALL = WHATS = ("raw", "marts", "all")
"""Scopes. ``raw``: raw rows from the lake, and the marts of dates where they changed; ``marts``: the marts from the
raw rows; ``all``: both.
"""


EARLIEST = date(1970, 1, 1)
"""The first date of streams without a history."""


def history(contracts: Iterable[Contract]) -> tuple[date, date | None]:
    """Returns the first and last event date that the contracts allow; no last date if a stream has no end."""
    histories = [contract.history for contract in contracts]
    first = min((found.first if found else EARLIEST for found in histories), default=EARLIEST)
    last = max((found.last for found in histories if found), default=None)
    return first, None if None in histories else last


def event_range(contracts: Iterable[Contract], first: str, last: str) -> tuple[date, date]:
    """Parses a range of event dates, both ends included, for instance ``("2013-01-01", "2013-01-31")``.

    Raises:
        TerminalError: an end is not a date or is outside the contracts' history, or the range is empty.
    """
    earliest, latest = history(contracts)
    start, end = _event_date(first, "FROM"), _event_date(last, "TO")
    for name, day in (("FROM", start), ("TO", end)):
        if not earliest <= day <= (latest or date.max):
            raise TerminalError(
                f"{name}={day} is outside the history of the streams",
                f"choose from {earliest} to {latest}" if latest else f"choose from {earliest} on",
            )
    if start > end:
        raise TerminalError(f"FROM={first} is after TO={last}", "swap them")
    return start, end


def _event_date(text: str, name: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise TerminalError(f"{name}={text} is not a date", "write it as 2013-01-31") from None


def reprocess_scope(text: str) -> str:
    """Returns ``text`` if it is a scope.

    Raises:
        TerminalError: it is not one of ``WHATS``.
    """
    if text not in WHATS:
        raise TerminalError(f"WHAT={text} is unknown", f"choose from {', '.join(WHATS)}")
    return text
