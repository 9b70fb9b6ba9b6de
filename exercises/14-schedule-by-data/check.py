"""Emits events of invented dates, and compares the runs that they trigger with the dates that they name."""

import json
import tempfile
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from random import Random
from secrets import token_hex
from typing import Any

from exercises.grading.attempt import Attempt, UnseenWarehouse, WrongAnswer
from exercises.grading.dag_results import DagRun
from exercises.grading.dag_sandbox import DagSandbox, dag_sandbox, warehouse_connection
from sluice.errors import TerminalError
from sluice.warehouse.connect import connect

FILE, DAG, TASK = "daily_report.py", "daily_report", "report"
DEPARTED, ARRIVED, WEATHER = "raw.flights_departed", "raw.flights_arrived", "raw.weather_observed"
DATES = 12

Event = tuple[str, dict[str, Any]]

_DATE = "select _event_date from raw.flights_departed group by 1 order by random() limit 1"
_SPREAD = "update {table} set _event_date = '{first}'::date + (_offset % {dates})::int"
_COUNTS = """
select
    (select count(distinct event_id) from raw.flights_departed where _event_date = '{day}'),
    (select count(distinct event_id) from raw.flights_arrived where _event_date = '{day}')"""
_DELETE = "delete from raw.flights_departed where _event_date = '{day}' and _partition = 0"


def check(attempt: Attempt) -> None:
    """Emits events on one table and on both, with dates, repeated dates and none."""
    attempt.program(FILE)
    random = Random(token_hex())  # noqa: S311 - no secret
    first = date(2031, 1, 1) + timedelta(days=random.randrange(3000))
    days = _shuffled(random, first)
    days, more = days[:8], days[8:]
    with connect(attempt.settings, "reader") as connection:
        row = connection.execute(_DATE).fetchone()
    if row is None:
        raise TerminalError("the warehouse has no departures yet", "run `make load`, then try again")
    attempt.tell("inventing dates in a warehouse of the check, and starting an Airflow")
    tables = dict.fromkeys((DEPARTED, ARRIVED), f"_event_date = '{row[0]}'")
    with attempt.unseen_warehouse(tables) as warehouse, tempfile.TemporaryDirectory(prefix="sluice-check-") as name:
        for table in tables:
            warehouse.change(_SPREAD.format(table=table, first=first, dates=DATES))
        connections = {"warehouse_reader": warehouse_connection(attempt.settings, "reader", warehouse.name)}
        folder = Path(name) / token_hex(3)
        variables = {"AIRFLOW_VAR_REPORT_FOLDER": str(folder)}
        with dag_sandbox(attempt, FILE, connections, variables) as airflow:
            if TASK not in airflow.dag(DAG).tasks:
                raise WrongAnswer(f"the DAG {DAG} has no task {TASK}", "keep the id of the task")
            grader = Grader(airflow, warehouse, folder)
            attempt.tell("emitting events on the assets of tables")
            grader.expect_none([(DEPARTED, {"dates": [*more, *days[:2]]}), (DEPARTED, {"dates": [days[2], days[1]]})])
            grader.expect_none([(DEPARTED, {"rows": 3}), (WEATHER, {"dates": [days[7]]})])
            grader.expect_run([(ARRIVED, {"dates": [days[1], days[3]]})], [*more, *days[:4]])
            warehouse.change(_DELETE.format(day=days[0]))
            grader.expect_none([(ARRIVED, {"event_date": day, "rows": 5}) for day in (days[4], days[1], days[4])])
            grader.expect_run([(DEPARTED, {})], [days[4], days[1]])
            grader.expect_run([(ARRIVED, {"dates": []}), (DEPARTED, {"event_date": days[0]})], [days[0]])
            grader.expect_run([(DEPARTED, {"rows": 0}), (ARRIVED, {})], [])
            grader.expect_nothing_by_hand()


def _shuffled(random: Random, first: date) -> list[str]:
    """Returns the dates in random order, but the second run's two dates so that its events name the later one first."""
    days = [str(first + timedelta(days=number)) for number in range(DATES)]
    random.shuffle(days)
    days[1], days[4] = sorted((days[1], days[4]))
    return days


class Grader:
    """Emits events, and compares the runs and their files with the events."""

    def __init__(self, airflow: DagSandbox, warehouse: UnseenWarehouse, folder: Path) -> None:
        self._airflow = airflow
        self._warehouse = warehouse
        self._folder = folder
        self._events: list[Event] = []
        """Those since the last run."""
        self._reports: dict[str, dict[str, Any]] = {}

    def expect_none(self, events: Sequence[Event]) -> None:
        """Emits events that do not complete the condition."""
        self._events += events
        if self._airflow.publish(events):
            tables = sorted({table for table, _ in self._events if table != WEATHER})
            raise WrongAnswer(f"events on {tables[0]} alone trigger a run", "which tables does a report need?")

    def expect_run(self, events: Sequence[Event], days: Sequence[str]) -> None:
        """Emits events that complete the condition."""
        self._events += events
        runs = self._airflow.publish(events)
        shown = ", ".join(f"{table} {json.dumps(extra)}" for table, extra in self._events)
        if len(runs) != 1:
            raise WrongAnswer(
                f"events on both tables trigger {len(runs)} runs, expected one: {shown}", "see the schedule"
            )
        self._events = []
        self._compare(runs[0], f"after the events {shown}", sorted(days))

    def expect_nothing_by_hand(self) -> None:
        """Runs the DAG without an event."""
        self._compare(self._airflow.run(DAG), "for a run by hand", [])

    def _compare(self, run: DagRun, when: str, days: list[str]) -> None:
        if run.state != "success":
            raise WrongAnswer(f"{when} the run fails: {run.error}", "an event may lack what others have")
        (task,) = run.of(TASK)
        if task.value != days:
            hint = "which dates do the events name?"
            if isinstance(task.value, list) and sorted(map(str, task.value)) == days:
                hint = "the dates are right: return them as texts, the earliest first"
            raise WrongAnswer(f"{when} {TASK} returns {task.value}, expected {days}", hint)
        for day in days:
            ((departed, arrived),) = self._warehouse.rows(_COUNTS.format(day=day))
            self._reports[day] = {"date": day, "departed": departed, "arrived": arrived}
        files = {path.stem: path.read_text() for path in self._folder.glob("*")}
        if files.keys() != self._reports.keys():
            raise WrongAnswer(
                f"{when} there are reports of {sorted(files)}, expected {sorted(self._reports)}",
                "a report is written for each date that is returned, and for no other",
            )
        for day, expected in self._reports.items():
            if files[day] != json.dumps(expected):
                raise WrongAnswer(
                    f"{when} the report of {day} is {files[day]}, expected {json.dumps(expected)}",
                    "only the dates of the events are written again",
                )
