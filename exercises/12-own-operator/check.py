"""Runs the DAG on invented dates with no airport, one and seven, and compares its tasks and its files."""

import csv
import tempfile
from datetime import date, timedelta
from pathlib import Path
from random import Random
from secrets import token_hex

from exercises.grading.attempt import Attempt, UnseenWarehouse, WrongAnswer
from exercises.grading.dag_results import DagRun
from exercises.grading.dag_sandbox import DagSandbox, dag_sandbox, warehouse_connection
from sluice.errors import TerminalError
from sluice.warehouse.connect import connect

FILE, DAG, LIST, EXPORT = "airport_files.py", "airport_files", "destinations", "export"
FIELDS = ("airport", "date", "folder")
COLUMNS = ["flight_id", "carrier", "flight_number", "origin", "arrival_delay_minutes"]
MANY = 7

_DATE = """
select flight_date
from (select flight_date, dest from marts.fct_flights group by flight_date, dest having count(*) > 2) as busy
group by flight_date having count(*) > %s order by random() limit 1"""
_BUSY = "select dest from marts.fct_flights group by dest having count(*) > 2 order by dest"
_MOVE = """
create table flights as select * from marts.fct_flights where flight_date = '{source}' and dest in ({airports});
update flights set flight_date = '{target}';
insert into marts.fct_flights select * from flights;
drop table flights"""
_FIELDS = """
update marts.fct_flights as flight
set arrival_delay_minutes = case when flight_id = first then null else 0 end
from (
    select flight_date, dest, min(flight_id) as first, max(flight_id) as last
    from marts.fct_flights group by flight_date, dest
) as found
where flight.flight_date = found.flight_date and flight.dest = found.dest and flight_id in (first, last)"""
"""An empty field and a zero are in every file."""
_REVERSE = """
create table reversed as select * from marts.fct_flights order by flight_id desc;
truncate marts.fct_flights;
insert into marts.fct_flights select * from reversed order by flight_id desc;
drop table reversed"""
"""Without `order by`, a file has the last flight first."""
_WITHOUT_SORT = "alter database {database} set enable_sort = off"
"""Nor does Postgres sort on its way to different airports."""
_UNSORTED = "select distinct dest from marts.fct_flights where flight_date = '{day}'"
_DELETE_ONE = """
delete from marts.fct_flights where flight_id = (
    select max(flight_id) from marts.fct_flights where flight_date = '{day}' and dest = {airport}
)"""
_RENAME = "update marts.fct_flights set dest = {new} where flight_date = '{day}' and dest = {old}"
_AIRPORTS = "select distinct dest from marts.fct_flights where flight_date = '{day}' order by dest"
_ROWS = """
select {columns} from marts.fct_flights
where flight_date = '{day}' and dest = {airport} order by flight_id"""


def check(attempt: Attempt) -> None:
    """Runs each date, repeats one after its flights have changed, and lets one file fail."""
    attempt.program(FILE)
    random = Random(token_hex())  # noqa: S311 - no secret
    attempt.tell("inventing dates in a warehouse of the check, and starting an Airflow")
    with connect(attempt.settings, "reader") as connection:
        row = connection.execute(_DATE, (MANY,)).fetchone()
    if row is None:
        raise TerminalError(
            f"no date of the warehouse has {MANY + 1} busy destinations",
            "run `make load`, then try again",
        )
    (source,) = row
    with (
        attempt.unseen_warehouse({"marts.fct_flights": f"flight_date = '{source}'"}) as warehouse,
        tempfile.TemporaryDirectory(prefix="sluice-check-") as name,
    ):
        connections = {"warehouse_reader": warehouse_connection(attempt.settings, "reader", warehouse.name)}
        with dag_sandbox(attempt, FILE, connections) as airflow:
            _check_tasks(airflow)
            dates = Dates(random, warehouse, source)
            grader = Grader(airflow, warehouse, Path(name) / token_hex(3))
            attempt.tell("running a date with one airport")
            grader.compare(dates.one, "with one airport")
            attempt.tell(f"running a date with {MANY} airports, then one without a flight")
            airports = grader.compare(dates.many, f"with {MANY} airports")
            grader.compare(dates.none, "without a flight")
            attempt.tell("repeating a date after its flights have changed, then with a file that cannot be written")

            changed = random.choice(airports[1:])
            warehouse.change(_DELETE_ONE.format(day=dates.many, airport=_text(changed)))
            grader.compare(dates.many, "after a repeated run")
            grader.compare_with_failure(dates.many, airports[0])


class Dates:
    """Dates that no flight has: with one airport, with many, and with none."""

    def __init__(self, random: Random, warehouse: UnseenWarehouse, source: object) -> None:
        first = date(2031, 1, 1) + timedelta(days=random.randrange(3000))
        self.one, self.many, self.none = (
            first + timedelta(days=random.randrange(90 * n, 90 * n + 60)) for n in range(3)
        )
        found = [str(airport) for (airport,) in warehouse.rows(_BUSY)]
        airports = random.sample(found, MANY)
        for day, some in ((self.one, airports[:1]), (self.many, airports)):
            warehouse.change(_MOVE.format(source=source, target=day, airports=", ".join(map(_text, some))))
        odd = f"O'{random.choice('ABCDEF')}"
        warehouse.change(_RENAME.format(day=self.many, old=_text(airports[0]), new=_text(odd)))
        warehouse.change(_FIELDS)
        warehouse.change(_WITHOUT_SORT.format(database=warehouse.name))
        warehouse.change(_REVERSE)
        # Postgres returns them by their hashes, which may be in the order of the alphabet by chance.
        while (unsorted := warehouse.rows(_UNSORTED.format(day=self.many))) == sorted(unsorted):
            other = random.choice([airport for airport in found if airport not in airports])
            warehouse.change(_RENAME.format(day=self.many, old=_text(airports[-1]), new=_text(other)))
            warehouse.change(_REVERSE)
            airports[-1] = other


class Grader:
    """Runs the DAG for a date, and compares what is there afterwards."""

    def __init__(self, airflow: DagSandbox, warehouse: UnseenWarehouse, folder: Path) -> None:
        self._airflow = airflow
        self._warehouse = warehouse
        self._folder = folder

    def compare(self, day: date, when: str) -> list[str]:
        """Returns the airports of a date."""
        run, airports = self._run(day)
        if run.state != "success":
            raise WrongAnswer(f"{when} ({day}) the run fails: {run.error}", "see what the task does with this value")
        if (found := run.of(LIST)[0].value) != airports:
            hint = "compare its query"
            if isinstance(found, list) and sorted(map(str, found)) == airports:
                hint = "the airports are right, and their order is not: a query without `order by` has none"
            raise WrongAnswer(f"{when} ({day}) {LIST} returns {found}, expected {airports}", hint)
        instances = [instance for instance in run.of(EXPORT) if instance.index >= 0]
        if len(instances) != len(airports):
            raise WrongAnswer(
                f"{when} ({day}) there are {len(instances)} instances of {EXPORT}, expected {len(airports)}",
                f"what is {EXPORT} mapped over?",
            )
        for instance, airport in zip(instances, airports, strict=True):
            expected = {"airport": airport, "date": day.isoformat(), "folder": str(self._folder)}
            rendered = {name: instance.fields.get(name) for name in FIELDS}
            if rendered != expected:
                raise WrongAnswer(
                    f"{when} the fields are {rendered}, expected {expected}", "see what is passed to them"
                )
            rows = self._compare_file(day, airport, when)
            if instance.value != rows:
                raise WrongAnswer(
                    f"{when} ({day}) {EXPORT} returns {instance.value} for {airport}, expected {rows}",
                    "the number of flights, without the first line",
                )
        self._compare_names(day, airports, when)
        return airports

    def compare_with_failure(self, day: date, failing: str) -> None:
        """Puts a folder where one file belongs, and expects that only this file fails."""
        for path in (self._folder / day.isoformat()).iterdir():
            path.unlink()
        (self._folder / day.isoformat() / f"{failing}.csv").mkdir()
        run, airports = self._run(day)
        states = {airport: instance.state for airport, instance in zip(airports, run.of(EXPORT), strict=False)}
        expected = {airport: "failed" if airport == failing else "success" for airport in airports}
        if states != expected:
            raise WrongAnswer(
                f"the file of {failing} cannot be written: the instances are {states}, expected {expected}",
                "each instance does its own work, and reports its own error",
            )
        for airport in airports:
            if airport != failing:
                self._compare_file(day, airport, f"while the file of {failing} cannot be written")

    def _run(self, day: date) -> tuple[DagRun, list[str]]:
        rows = self._warehouse.rows(_AIRPORTS.format(day=day))
        run = self._airflow.run(DAG, {"date": day.isoformat(), "folder": str(self._folder)})
        return run, [str(airport) for (airport,) in rows]

    def _compare_file(self, day: date, airport: str, when: str) -> int:
        """Returns the number of flights."""
        name = f"{day}/{airport}.csv"
        path = self._folder / name
        if not path.is_file():
            raise WrongAnswer(f"{when} there is no file {name}", "the exercise's page says where it belongs")
        with path.open(newline="", encoding="utf-8", errors="replace") as file:
            found = list(csv.reader(file))
        columns = ", ".join(COLUMNS)
        flights = self._warehouse.rows(_ROWS.format(columns=columns, day=day, airport=_text(airport)))
        expected = [COLUMNS, *(["" if value is None else str(value) for value in flight] for flight in flights)]
        hint = "which flights belong into it, and how is each field written?"
        if sorted(found) == sorted(expected):
            hint = "the lines are right, and their order is not: a query without `order by` has none"
        for number, (row, correct) in enumerate(zip(found, expected, strict=False), start=1):
            if row != correct:
                raise WrongAnswer(
                    f"{when} line {number} of {name} is {','.join(row)}, expected {','.join(correct)}", hint
                )
        if len(found) != len(expected):
            raise WrongAnswer(
                f"{when} {name} has {len(found)} lines, expected {len(expected)}", "what is left of an earlier run?"
            )
        return len(flights)

    def _compare_names(self, day: date, airports: list[str], when: str) -> None:
        folder = self._folder / day.isoformat()
        found = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
        if found != (expected := sorted(f"{airport}.csv" for airport in airports)):
            raise WrongAnswer(f"{when} ({day}) the files are {found}, expected {expected}", "one file per airport")


def _check_tasks(airflow: DagSandbox) -> None:
    tasks = airflow.dag(DAG).tasks
    if set(tasks) != {LIST, EXPORT}:
        raise WrongAnswer(f"the tasks are {', '.join(sorted(tasks))}, expected {LIST} and {EXPORT}", "see the page")
    export = tasks[EXPORT]
    if export.operator != "ExportOperator":
        raise WrongAnswer(f"the task {EXPORT} is a {export.operator}, expected ExportOperator", "see the page")
    for field in FIELDS:
        if field not in export.templated:
            raise WrongAnswer(f"Airflow does not render {field} of ExportOperator", "how does Airflow know the fields?")


def _text(value: str) -> str:
    return "'{}'".format(value.replace("'", "''"))
