"""The selection of flights in a page's URL. Invalid parameters are ignored, with a notice for the visitor."""

import calendar
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from dashboard.flights.queries import Selection, Span
from dashboard.parameters import choice_parameter, date_parameter

SOURCE_FIRST, SOURCE_LAST = date(2013, 1, 1), date(2013, 12, 31)
"""The dates of the source's flights, as ``producers.flights.source`` has them, which would load Arrow here."""


@dataclass(frozen=True)
class ParsedSelection:
    """A selection, and a notice for every parameter that was ignored or corrected."""

    selection: Selection
    notices: list[str]


def parse_selection(
    parameters: Mapping[str, str], span: Span, carriers: set[str], origins: set[str]
) -> ParsedSelection:
    """Returns the selection that a URL asks for; without dates, the newest thirty days that have flights.

    Args:
        parameters: the URL's query parameters, of which ``from`` and ``to`` (dates), ``carrier`` and ``origin`` count.
        span: the dates with flights; a selection that has some of them ends with the month of the last one, and does
            not begin before the month of the first one. Any other selection keeps its dates.
        carriers: codes of the airlines.
        origins: codes of the origin airports.
    """
    notices: list[str] = []
    first = date_parameter(parameters, "from", notices)
    last = date_parameter(parameters, "to", notices)
    if first is None and last is None:
        first, last = span.recent, span.last
    if first is None:
        first = (last or span.last).replace(day=1)
    if last is None:
        last = _end_of_month(first)
    if first > last:
        notices.append(f"from: {first} is after {last}, so the two dates were swapped")
        first, last = last, first
    lowest, highest = span.first.replace(day=1), _end_of_month(span.last)
    clamped = tuple(min(max(day, lowest), highest) for day in (first, last))
    if clamped != (first, last) and span.overlaps(first, last):
        notices.append(f"there are flights from {span.first} to {span.last} only, so other dates were left out")
        first, last = clamped
    selection = Selection(
        first,
        last,
        choice_parameter(parameters, "carrier", carriers, notices),
        choice_parameter(parameters, "origin", origins, notices),
    )
    return ParsedSelection(selection, notices)


def replay_range(selection: Selection) -> tuple[date, date] | None:
    """Returns those of the selection's dates that ``make replay`` can send; None if it can send none of them."""
    first, last = max(selection.first, SOURCE_FIRST), min(selection.last, SOURCE_LAST)
    return (first, last) if first <= last else None


def _end_of_month(day: date) -> date:
    return day.replace(day=calendar.monthrange(day.year, day.month)[1])
