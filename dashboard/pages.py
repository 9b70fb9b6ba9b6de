"""The pages by name, and the builders of the platform's own. A builder queries the databases and nothing else."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg

from dashboard import flow, queries
from dashboard.charts import sparkline
from dashboard.database import Reader
from dashboard.flights import pages as flights_pages
from dashboard.flights.queries import STREAMS as FLIGHT_STREAMS
from dashboard.heat_map import heat_map
from dashboard.page_request import PageRequest
from dashboard.parameters import choice_parameter, date_parameter
from dashboard.quarantine import families
from dashboard.queries import DagRun, FailedTask
from dashboard.runs import runs_chart
from sluice.errors import SluiceError

MAX_STREAMS = 100
SPARKLINE_DATES = 30
MAX_REASONS = 100
EXAMPLES_PER_REASON = 1
CHART_RUNS = 300
TABLE_RUNS = 25
MAX_BACKFILLS = 10


def overview(request: PageRequest) -> dict[str, Any]:
    """Returns the template variables of *Overview*: what the data is, whether anything is wrong, and the data flow."""
    now = datetime.now(UTC)
    marts = queries.marts(request.connection)
    loads = _loads(request)
    links = {"airflow": request.settings.pages.airflow, "lake": request.settings.pages.lake}
    has_flights = flights_pages.is_present(request)
    subject = flights_pages.headline(request) if has_flights else _headline(request)
    open_alerts = [alert for alert in queries.alerts(request.connection) if alert.cleared_at is None]
    snapshot, servers = request.snapshot, request.servers
    comparison = _comparison(request) if has_flights else None
    behind = comparison["behind"] if comparison else flow.event_time_behind(snapshot, marts)
    waiting = flow.waiting_records(snapshot, request.streams)
    quarantine = queries.open_quarantine(request.connection, sum(stream.quarantined for stream in request.streams))
    return {
        "headline": f"{subject}{flow.pace(snapshot)}.",
        "status": flow.status(snapshot, servers, loads, len(open_alerts), behind, waiting, now),
        "nodes": flow.flow(snapshot, servers, request.streams, quarantine, marts, loads, links, behind, now),
        "open_alerts": open_alerts,
        "comparison": comparison,
    }


def pipeline(request: PageRequest) -> dict[str, Any]:
    """Returns the template variables of *Pipeline*: the flow of each stream, its last dates, and all dates."""
    notices: list[str] = []
    day = date_parameter(request.parameters, "date", notices)
    event_dates = queries.event_dates(request.connection)
    recent = {row.stream: row for row in queries.recent_dates(request.connection, SPARKLINE_DATES)}
    sparklines = {
        stream: (
            sparkline(f"{stream}, rows by date", row.rows, "live"),
            sparkline(f"{stream}, quarantined records by date", row.quarantined, "bad"),
        )
        for stream, row in recent.items()
    }
    return {
        "notices": notices,
        "streams": request.streams[:MAX_STREAMS],
        "streams_left_out": len(request.streams[MAX_STREAMS:]),
        "sparklines": sparklines,
        "marts": queries.marts(request.connection),
        "heat_map": heat_map(event_dates),
        "day": day,
        "day_streams": queries.stream_dates(request.connection, day) if day else [],
        "alerts": queries.alerts(request.connection),
    }


def quarantine(request: PageRequest) -> dict[str, Any]:
    """Returns the template variables of *Quarantine*: invalid records by family and column, with examples."""
    notices: list[str] = []
    streams = [row.stream for row in request.streams]
    stream = choice_parameter(request.parameters, "stream", set(streams), notices)
    reasons = queries.quarantine_reasons(request.connection, stream, MAX_REASONS)
    examples = queries.quarantine_examples(request.connection, stream, MAX_REASONS, EXAMPLES_PER_REASON)
    return {
        "notices": notices,
        "streams": streams[:MAX_STREAMS],
        "stream": stream,
        "families": families(reasons, examples),
        "removed": sorted({reason.stream for reason in reasons if request.snapshot.is_removed(reason.stream)}),
        "reasons_left_out": reasons[0].all_reasons - len(reasons) if reasons else 0,
        "records": reasons[0].all_records if reasons else 0,
        "discarded": reasons[0].all_discarded if reasons else 0,
    }


def runs(request: PageRequest) -> dict[str, Any]:
    """Returns the template variables of *Runs*: Airflow's runs over time, failures first, and backfills."""
    found, failed, failure = _dag_runs(request.airflow)
    backfills = queries.backfills(request.connection, MAX_BACKFILLS + 1)
    return {
        "failure": failure,
        "chart": runs_chart(found),
        "failed": failed,
        "runs": sorted(found, key=lambda run: run.state != "failed")[:TABLE_RUNS],
        "runs_left_out": len(found[TABLE_RUNS:]),
        "backfills": backfills[:MAX_BACKFILLS],
        "backfills_left_out": len(backfills) > MAX_BACKFILLS,
    }


def _headline(request: PageRequest) -> str:
    """Returns what the data is, for any streams."""
    names = [stream.stream for stream in request.streams if not request.snapshot.is_removed(stream.stream)]
    if not names:
        return "No streams yet"
    shown = ", ".join(names[:4]) + (", …" if len(names) > 4 else "")
    return f"Events of {len(names)} {'stream' if len(names) == 1 else 'streams'} ({shown})"


def _comparison(request: PageRequest) -> dict[str, Any] | None:
    """Returns the flights' part of the first page; None until their marts are built."""
    try:
        with request.connection.transaction():
            return flights_pages.comparison(request)
    except (psycopg.errors.UndefinedTable, psycopg.errors.InsufficientPrivilege):
        return None


def _loads(request: PageRequest) -> flow.Loads:
    """Returns the latest run of each DAG, or why they cannot be read."""
    try:
        with request.airflow.connection() as connection:
            return flow.Loads({run.dag_id: run for run in queries.latest_runs(connection)})
    except SluiceError as error:
        return flow.Loads({}, str(error))


def _dag_runs(airflow: Reader) -> tuple[list[DagRun], list[FailedTask], str]:
    """Returns Airflow's runs, the tasks that failed and an empty text; or nothing and why they cannot be read."""
    try:
        with airflow.connection() as connection:
            return queries.dag_runs(connection, CHART_RUNS), queries.failed_tasks(connection, TABLE_RUNS), ""
    except SluiceError as error:
        return [], [], str(error)


@dataclass(frozen=True)
class Page:
    """One page."""

    title: str
    build: Callable[[PageRequest], dict[str, Any]]
    updates: bool = True
    """Whether the page follows the platform; otherwise it shows what its URL asks for."""
    streams: tuple[str, ...] = ()
    """The page is offered if the platform has one of these streams; always if there are none."""


PAGES: dict[str, Page] = {
    "overview": Page("Overview", overview),
    "flights": Page("Flights", flights_pages.flights, updates=False, streams=FLIGHT_STREAMS),
    "pipeline": Page("Pipeline", pipeline),
    "quarantine": Page("Quarantine", quarantine),
    "runs": Page("Runs", runs),
}
"""The pages by name, in the order of the navigation. The first page is also served at ``/``."""
