"""The builders of the flights' pages. A builder queries the database and nothing else."""

from dataclasses import replace
from typing import Any

from dashboard.database import NotBuiltError
from dashboard.flights import queries, verdict
from dashboard.flights.calendars import months, months_left_out
from dashboard.flights.filters import parse_selection
from dashboard.page_request import PageRequest
from dashboard.queries import alerts

CHART_HOURS = 48
TABLE_HOURS = 8
TABLE_ROWS = 100
DESTINATIONS = 10


def now(request: PageRequest) -> dict[str, Any]:
    """Returns the template variables of *Now*: live view and batch side by side."""
    progress = queries.progress(request.connection)
    hours = queries.airport_hours(request.connection)
    latest = sorted({hour.hour for hour in hours}, reverse=True)[:TABLE_HOURS]
    shown = [hour for hour in hours if hour.hour in latest]
    return {
        "progress": progress,
        "bars": verdict.bars(hours)[-CHART_HOURS:],
        "comparisons": [verdict.compare(hour, progress) for hour in shown[:TABLE_ROWS]],
        "comparisons_left_out": len(shown[TABLE_ROWS:]),
        "more_hours": len(hours) == queries.MAX_AIRPORT_HOURS,
        "summary": verdict.summary(hours),
        "hours": len(hours),
        "matching": sum(hour.matches for hour in hours),
        "alerts": alerts(request.connection),
    }


def flights(request: PageRequest) -> dict[str, Any]:
    """Returns the template variables of *Flights*: the marts' figures for a selection.

    Raises:
        NotBuiltError: the marts are empty.
    """
    span = queries.date_span(request.connection)
    if span is None:
        raise NotBuiltError("the marts hold no flights yet", "wait for the first transform, or run `make transform`")
    carriers, origins = queries.filter_choices(request.connection)
    parsed = parse_selection(request.parameters, span, {code for code, _ in carriers}, {code for code, _ in origins})
    selection = parsed.selection
    figures = queries.figures(request.connection, selection)
    names = dict(carriers)
    left_out = {
        "airlines": figures.sizes["carrier"] - len(figures.by_carrier),
        "origin airports": figures.sizes["origin"] - len(figures.by_origin),
        "months before those of the calendar": months_left_out(selection),
        "flights before year 1 or after year 9999": span.outside,
        "airlines in the filter": len(carriers[queries.MAX_CHOICES :]),
        "origin airports in the filter": len(origins[queries.MAX_CHOICES :]),
    }
    return {
        "selection": selection,
        "notices": parsed.notices,
        "span": span,
        "left_out": {name: number for name, number in left_out.items() if number},
        "carriers": carriers[: queries.MAX_CHOICES],
        "origins": origins[: queries.MAX_CHOICES],
        "total": figures.total,
        "by_carrier": [replace(group, name=names.get(group.name, group.name)) for group in figures.by_carrier],
        "by_origin": figures.by_origin,
        "by_destination": figures.by_destination[:DESTINATIONS],
        "by_weather": queries.by_weather(request.connection, selection),
        "months": months(figures.by_date, selection),
    }
