"""What each page shows, by its template's names. They ask the database, and do nothing else."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from dashboard import queries
from dashboard.calendars import months
from dashboard.database import NotBuiltError, reading
from dashboard.filters import day, one_of, selection
from dashboard.poller import Seen
from dashboard.queries import Connection, Run
from dashboard.verdict import bars, compare
from sluice.errors import SluiceError
from sluice.settings import Settings
from sluice.warehouse.schema import AIRFLOW

SHOWN_HOURS = 48
COMPARED_HOURS = 8
DATES = 14
RUNS = 12
DESTINATIONS = 10
EXAMPLES = 2


@dataclass(frozen=True)
class Question:
    """What a page is made from."""

    connection: Connection
    address: Mapping[str, str]
    """The parameters of its address."""
    seen: Seen
    settings: Settings


def now(asked: Question) -> dict[str, Any]:
    """Live view and batch side by side."""
    progress = queries.progress(asked.connection)
    hours = queries.hours(asked.connection)
    closed = [each for each in hours if each.closed]
    latest = sorted({each.hour for each in hours}, reverse=True)[:COMPARED_HOURS]
    return {
        "progress": progress,
        "bars": bars(hours)[-SHOWN_HOURS:],
        "compared": [compare(each, progress) for each in hours if each.hour in latest],
        "unequal": [compare(each, progress) for each in closed if not each.equal],
        "closed": len(closed),
        "hours": len(hours),
        "equal": sum(each.equal for each in hours),
        "alerts": queries.alerts(asked.connection),
    }


def flights(asked: Question) -> dict[str, Any]:
    """What the marts say of flights."""
    span = queries.span(asked.connection)
    if span is None:
        raise NotBuiltError("the marts hold no flights yet", "they appear with the first transform")
    carriers, origins = queries.choices(asked.connection)
    read = selection(asked.address, span, {code for code, _ in carriers}, {code for code, _ in origins})
    chosen = read.chosen
    figures = queries.figures(asked.connection, chosen)
    names = dict(carriers)
    return {
        "chosen": chosen,
        "faults": read.faults,
        "span": span,
        "carriers": carriers,
        "origins": origins,
        "total": figures.total,
        "by_carrier": [replace(each, name=names.get(each.name, each.name)) for each in figures.by_carrier],
        "by_origin": figures.by_origin,
        "by_destination": figures.by_destination[:DESTINATIONS],
        "by_weather": queries.by_weather(asked.connection, chosen),
        "months": months(figures.by_date, chosen),
    }


def pipeline(asked: Question) -> dict[str, Any]:
    """The way of the data, with its counts."""
    faults: list[str] = []
    until = day(asked.address, "until", faults)
    days = queries.days(asked.connection, until, DATES + 1)
    runs, runs_fault = _runs(asked.settings)
    return {
        "faults": faults,
        "streams": queries.streams(asked.connection),
        "marts": queries.flights_in_marts(asked.connection),
        "until": until,
        "days": days[:DATES],
        "earlier": days[DATES].event_date if len(days) > DATES else None,
        "runs": runs,
        "runs_fault": runs_fault,
        "alerts": queries.alerts(asked.connection),
    }


def quarantine(asked: Question) -> dict[str, Any]:
    """What did not fit its contract."""
    faults: list[str] = []
    known = [each.stream for each in queries.streams(asked.connection)]
    stream = one_of(asked.address, "stream", set(known), faults)
    reasons = queries.reasons(asked.connection, stream)
    examples: dict[tuple[str, str], list[queries.Example]] = {}
    for each in queries.examples(asked.connection, stream, EXAMPLES):
        examples.setdefault((each.stream, each.kind), []).append(each)
    return {
        "faults": faults,
        "streams": known,
        "stream": stream,
        "reasons": reasons,
        "records": sum(each.records for each in reasons),
        "discarded": sum(each.discarded for each in reasons),
        "examples": examples,
    }


def _runs(settings: Settings) -> tuple[list[Run], str]:
    """Airflow's last runs, or why there are none to be shown."""
    try:
        with reading(settings, AIRFLOW) as airflow:
            return queries.runs(airflow, RUNS), ""
    except SluiceError as error:
        return [], str(error)


PAGES: dict[str, tuple[str, Callable[[Question], dict[str, Any]]]] = {
    "now": ("Now", now),
    "flights": ("Flights", flights),
    "pipeline": ("Pipeline", pipeline),
    "quarantine": ("Quarantine", quarantine),
}
"""By name, with their titles, in the order of the navigation. The first is also at ``/``."""
