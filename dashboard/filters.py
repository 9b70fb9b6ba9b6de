"""What a page's address asks for. What cannot be understood is left out, and said."""

import calendar
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from dashboard.queries import Selection


@dataclass(frozen=True)
class Asked:
    """A selection, and what of the address was not understood, in words for a person."""

    chosen: Selection
    faults: list[str]


def selection(address: Mapping[str, str], span: tuple[date, date], carriers: set[str], origins: set[str]) -> Asked:
    """The flights that an address asks for: ``from`` and ``to`` (dates), ``carrier``, ``origin``.

    Without dates it is the last month that has flights.
    """
    faults: list[str] = []
    month = span[1].replace(day=1)
    first = day(address, "from", faults)
    last = day(address, "to", faults)
    if first is None:
        first = month if last is None else last.replace(day=1)
    if last is None:
        last = first.replace(day=calendar.monthrange(first.year, first.month)[1])
    if first > last:
        faults.append(f"from {first} is after to {last}: exchanged")
        first, last = last, first
    return Asked(
        Selection(
            first,
            last,
            one_of(address, "carrier", carriers, faults),
            one_of(address, "origin", origins, faults),
        ),
        faults,
    )


def day(address: Mapping[str, str], name: str, faults: list[str]) -> date | None:
    """A date of the address; None where there is none, or none that is understood."""
    text = address.get(name, "").strip()
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        faults.append(f"{name}: {text!r} is no date, as 2013-01-31 is one")
        return None


def one_of(address: Mapping[str, str], name: str, known: set[str], faults: list[str]) -> str | None:
    """A value of the address out of those that there are; None where there is none, or an unknown one."""
    text = address.get(name, "").strip()
    if not text:
        return None
    if text not in known:
        faults.append(f"{name}: there is no {text!r}")
        return None
    return text
