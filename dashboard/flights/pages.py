"""The builders of the flights' pages. A builder queries the database and nothing else."""

from dataclasses import replace
from typing import Any

from dashboard.database import NotBuiltError
from dashboard.flights import queries, verdict
from dashboard.flights.calendars import LEGEND, months, months_left_out
from dashboard.flights.daily import flights_chart
from dashboard.flights.filters import SOURCE_FIRST, SOURCE_LAST, parse_selection, replay_range
from dashboard.flights.queries import STREAMS
from dashboard.flights.windows import windows
from dashboard.page_request import PageRequest

CLOSED_HOURS = 12
DESTINATIONS = 10


def is_present(request: PageRequest) -> bool:
    """Whether the platform has the flights' streams: another data set's pages are complete without these."""
    return any(stream.stream in STREAMS for stream in request.streams)


def headline(request: PageRequest) -> str:
    """Returns the sentence that says what the data is, without its end."""
    newest = request.snapshot.newest
    return f"{newest.year}'s flights out of New York" if newest else "Flights out of New York"


def comparison(request: PageRequest) -> dict[str, Any]:
    """Returns the template variables of the first page's lower half: live view and batch side by side."""
    progress = queries.progress(request.connection)
    shown = [
        (window, verdict.reopened(queries.airport_hours(request.connection, window.first, window.last), progress))
        for window in windows(queries.arrivals(request.connection, request.snapshot.newest))
    ]
    hours = [hour for _, window_hours in shown for hour in window_hours]
    totals = [(window, verdict.hour_totals(window_hours)) for window, window_hours in shown]
    return {
        "windows": [
            (window.label, verdict.departures_chart(window_totals, window.label)) for window, window_totals in totals
        ],
        "comparisons": [verdict.compare(hour, progress) for hour in verdict.newest_closed(hours, CLOSED_HOURS)],
        "left_out": any(len(window_hours) == queries.MAX_AIRPORT_HOURS for _, window_hours in shown),
        "summary": verdict.summary(hours),
        "behind": max((verdict.behind(window_totals) for _, window_totals in totals), default=None),
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
        "months before those of the calendar": months_left_out(selection) if figures.total.flights else 0,
        "flights before year 1 or after year 9999": span.outside,
        "airlines in the filter": len(carriers[queries.MAX_CHOICES :]),
        "origin airports in the filter": len(origins[queries.MAX_CHOICES :]),
    }
    return {
        "selection": selection,
        "notices": parsed.notices,
        "span": span,
        "outside": not span.overlaps(selection.first, selection.last),
        "replay": replay_range(selection),
        "source": (SOURCE_FIRST, SOURCE_LAST),
        "left_out": {name: number for name, number in left_out.items() if number},
        "carriers": carriers[: queries.MAX_CHOICES],
        "origins": origins[: queries.MAX_CHOICES],
        "total": figures.total,
        "by_carrier": [replace(group, name=names.get(group.name, group.name)) for group in figures.by_carrier],
        "by_origin": figures.by_origin,
        "by_destination": figures.by_destination[:DESTINATIONS],
        "by_weather": queries.by_weather(request.connection, selection),
        "months": months(figures.by_date, selection),
        "legend": LEGEND,
        "chart": flights_chart(figures.by_date),
    }
