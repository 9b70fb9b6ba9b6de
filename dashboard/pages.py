"""The pages by name, and the builders of the platform's own. A builder queries the database and nothing else."""

from collections.abc import Callable
from typing import Any

from dashboard import queries
from dashboard.database import Reader
from dashboard.flights.pages import flights, now
from dashboard.page_request import PageRequest
from dashboard.parameters import choice_parameter, date_parameter
from dashboard.queries import DagRun
from sluice.errors import SluiceError

DATES_PER_PAGE = 14
RECENT_RUNS = 12
MAX_STREAMS = 100
MAX_REASONS = 50
EXAMPLES_PER_REASON = 2


def pipeline(request: PageRequest) -> dict[str, Any]:
    """Returns the template variables of *Pipeline*: the data flow with its counts, alerts, event dates, DAG runs."""
    notices: list[str] = []
    until = date_parameter(request.parameters, "until", notices)
    event_dates = queries.event_dates(request.connection, until, DATES_PER_PAGE + 1)
    runs, runs_error = _dag_runs(request.airflow)
    streams = queries.streams(request.connection)
    return {
        "notices": notices,
        "streams": streams[:MAX_STREAMS],
        "streams_left_out": len(streams[MAX_STREAMS:]),
        "marts": queries.count_marts(request.connection),
        "until": until,
        "event_dates": event_dates[:DATES_PER_PAGE],
        "earlier": event_dates[DATES_PER_PAGE].event_date if len(event_dates) > DATES_PER_PAGE else None,
        "runs": runs,
        "runs_error": runs_error,
        "alerts": queries.alerts(request.connection),
    }


def quarantine(request: PageRequest) -> dict[str, Any]:
    """Returns the template variables of *Quarantine*: invalid records by reason, with examples."""
    notices: list[str] = []
    streams = [row.stream for row in queries.streams(request.connection)]
    stream = choice_parameter(request.parameters, "stream", set(streams), notices)
    reasons = queries.quarantine_reasons(request.connection, stream, MAX_REASONS)
    examples: dict[tuple[str, str], list[queries.QuarantinedRecord]] = {}
    for record in queries.quarantine_examples(request.connection, stream, MAX_REASONS, EXAMPLES_PER_REASON):
        examples.setdefault((record.stream, record.kind), []).append(record)
    return {
        "notices": notices,
        "streams": streams[:MAX_STREAMS],
        "stream": stream,
        "reasons": reasons,
        "reasons_left_out": reasons[0].all_reasons - len(reasons) if reasons else 0,
        "records": reasons[0].all_records if reasons else 0,
        "discarded": reasons[0].all_discarded if reasons else 0,
        "examples": examples,
    }


def _dag_runs(airflow: Reader) -> tuple[list[DagRun], str]:
    """Returns Airflow's latest runs and an empty text, or no runs and the reason why they cannot be read."""
    try:
        with airflow.connection() as connection:
            return queries.dag_runs(connection, RECENT_RUNS), ""
    except SluiceError as error:
        return [], str(error)


PAGES: dict[str, tuple[str, Callable[[PageRequest], dict[str, Any]]]] = {
    "now": ("Now", now),
    "flights": ("Flights", flights),
    "pipeline": ("Pipeline", pipeline),
    "quarantine": ("Quarantine", quarantine),
}
"""Title and builder by page name, in the order of the navigation. The first page is also served at ``/``."""
