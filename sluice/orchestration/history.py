"""The event dates and the scope that a backfill accepts."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

from sluice.contracts import Contract
from sluice.contracts.model import DEFAULT_YEARS
from sluice.errors import TerminalError

REPROCESS = "reprocess"
"""The DAG that backfills run."""
LAKEHOUSE = "lakehouse"
"""The DAG of Spark's warehouse."""

RAW, MARTS, ALL = WHATS = ("raw", "marts", "all")
"""Scopes. ``raw``: raw rows from the lake, and the marts of dates where they changed; ``marts``: the marts from the
raw rows; ``all``: both.
"""


MAX_DEFAULT_DATES = 1_000
"""The longest range that is taken without FROM or TO: each of its dates is a run in Airflow."""
MAX_OPEN_DATES = 366
"""Dates of a range that are not over: not runs of one backfill, which Airflow paces, but each triggered by itself."""


def history(contracts: Iterable[Contract]) -> tuple[date, date | None]:
    """Returns the first and last event date that the contracts allow; no last date if a stream has no end."""
    found = list(contracts)
    first = min((_first_date(contract) for contract in found), default=date(1970, 1, 1))
    last = max((contract.history.last for contract in found if contract.history), default=None)
    return first, None if any(contract.history is None for contract in found) else last


def event_range(contracts: Iterable[Contract], first: str, last: str) -> tuple[date, date]:
    """Parses a range of event dates, both ends included, for instance ``("2013-01-01", "2013-01-31")``.

    Raises:
        TerminalError: an end is not a date or no event can have it, the range is empty, or too much of it is not over.
    """
    found = list(contracts)
    earliest, latest = history(found)
    latest = latest or max(map(_last_date, found))
    start, end = _event_date(first, "FROM"), _event_date(last, "TO")
    for name, day in (("FROM", start), ("TO", end)):
        if not earliest <= day <= latest:
            raise TerminalError(
                f"{name}={day} is outside the history of the streams", f"choose from {earliest} to {latest}"
            )
    if start > end:
        raise TerminalError(f"FROM={first} is after TO={last}", "swap them")
    if (count := (end - max(start, _today())).days + 1) > MAX_OPEN_DATES:
        raise TerminalError(
            f"{count:,} dates from FROM={first} to TO={last} are not over yet: Airflow runs no backfill of them, and"
            " each is a run of its own",
            f"choose at most {MAX_OPEN_DATES} of them",
        )
    return start, end


def default_range(
    contracts: Iterable[Contract], loaded: tuple[date, date] | None, first: str, last: str
) -> tuple[date, date]:
    """Returns the range of a backfill without FROM or TO: what is not given is an end of the dates that were loaded.

    Args:
        contracts: of the streams.
        loaded: the first and last date that the warehouse has of them; None if it has none. Of streams without an end,
            no date after tomorrow is taken: it may be a mistake of its event.
        first, last: as in ``event_range``; empty if not given.

    Raises:
        TerminalError: as ``event_range``; or there is no such range, or it has too many dates.
    """
    found = list(contracts)
    earliest, end_of_history = history(found)
    # Clocks of other time zones are in tomorrow already.
    latest = end_of_history or _today() + timedelta(days=1)
    if loaded is None or max(loaded[0], earliest) > min(loaded[1], latest):
        streams = ", ".join(contract.stream for contract in found)
        raise TerminalError(f"FROM or TO is missing, and the warehouse has no date of {streams}", "give FROM and TO")
    start, end = event_range(found, first or str(max(loaded[0], earliest)), last or str(min(loaded[1], latest)))
    if (count := (end - start).days + 1) > MAX_DEFAULT_DATES:
        raise TerminalError(
            f"FROM or TO is missing, and the warehouse has dates from {start} to {end}, which are {count:,} runs",
            "give FROM and TO",
        )
    return start, end


def has_ended(day: date) -> bool:
    """Returns whether a date is over in UTC. Airflow runs no backfill of one that is not."""
    return day < _today()


def _first_date(contract: Contract) -> date:
    """Returns the first date that an event of a stream can have."""
    if contract.history:
        return contract.history.first
    column = None if contract.happens_at_record else contract.column(contract.event_time)
    # Not year 1, the first that Python has: a backfill compares some dates before, too.
    return date(max(column.allowed_years.first, 2), 1, 1) if column else date(1970, 1, 1)


def _last_date(contract: Contract) -> date:
    """Returns the last date that an event of a stream can have."""
    if contract.history:
        return contract.history.last
    column = None if contract.happens_at_record else contract.column(contract.event_time)
    years = column.allowed_years if column else DEFAULT_YEARS["timestamp"]
    # Not year 9999, the last that Python has: a backfill compares some dates after, too.
    return date(min(years.last, 9998), 12, 31)


def _today() -> date:
    return datetime.now(UTC).date()


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
