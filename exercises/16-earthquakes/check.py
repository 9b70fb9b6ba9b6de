"""Grades a stream from its contract to its report, with earthquakes that the learner has not seen.

The steps go from cheap to expensive. The reports go through a real topic, sink, lake and load, and real dbt builds the
learner's models from them, in a warehouse that exists only during the check.
"""

from datetime import UTC, date, datetime
from random import SystemRandom
from typing import Any

from exercises.grading.attempt import Attempt, UnseenWarehouse, WrongAnswer
from exercises.grading.dag_results import TaskRun
from exercises.grading.dag_sandbox import DagSandbox
from exercises.grading.earthquakes import KEY, Report, Reports, mart, unseen_reports
from exercises.grading.mart_rows import Rows, compare_rows, named, when
from exercises.grading.quake_faults import CLASSES, faults
from exercises.grading.quake_platform import MART, QuakePlatform, quake_platform
from exercises.grading.stream import learners_contract
from sluice.contracts import Contract
from sluice.contracts.loader import read_contract
from sluice.contracts.validation import validate_event
from sluice.load import mark_stale

STREAM = "quakes.reported"
CONTRACT = f"contracts/{STREAM}.yaml"
DAG_FILE, DAG, TASK, ASSET = "dags/quakes_report.py", "quakes_report", "report", f"marts.{MART}"
BACKFILL = "backfill.sql"
PAGE, WORDS = "PAGE.md", 20
HEADINGS = ("Source", "Contract", "Mart", "Report", "Backfill", "Limits")


def clean(attempt: Attempt) -> None:
    """Says that the learner's own stream is on the platform, if it is: a check makes nothing that stays."""
    if (attempt.settings.contracts / f"{STREAM}.yaml").exists():
        print(f"{STREAM} stays on the platform: `Remove it` on the exercise's page says how to remove it")


def check(attempt: Attempt) -> None:
    """Follows unseen reports from the contract to the report of what has changed."""
    random = SystemRandom()
    reports = unseen_reports(random)
    path = learners_contract(attempt, CONTRACT)
    contract = read_contract(path)
    _check_contract(contract, [*reports.first, *reports.later])
    models = _models(attempt)
    for name in (BACKFILL, PAGE):
        attempt.read(name)
    attempt.program(DAG_FILE)
    attempt.tell("making a topic, a lake, a warehouse and an Airflow of the check")
    with quake_platform(attempt, path, contract, models, DAG_FILE) as platform:
        _check_schedule(platform.airflow)
        attempt.tell("loading reports")
        platform.ingest(reports.first)
        _check_quarantine(platform, reports)
        attempt.tell("building the mart")
        platform.project.transform()
        expected = mart(reports.first)
        _compare(platform, expected)
        attempt.tell("planting wrong rows for your tests")
        _check_tests(platform, random.choice(_dates_with_all_classes(expected)))
        # From here on, the outdated dates have the rows of yesterday's logic.
        platform.write_rows(reports.outdated, mart(reports.first, earthquakes_only=False))
        _check_backfill(UnseenWarehouse(attempt, platform.project.settings.warehouse), reports.outdated)
        before = platform.stored_rows()
        mark_stale(platform.stream.settings, contract, reports.outdated)
        attempt.tell("loading late reports and corrections, and rebuilding their dates")
        platform.ingest(reports.later)
        platform.project.transform()
        _check_rebuilt(before, platform.stored_rows(), {*reports.outdated, *reports.changed})
        final = mart([*reports.first, *reports.later])
        with when("after late reports, corrections and the backfill"):
            _compare(platform, final)
        attempt.tell("publishing the mart, which triggers the report")
        _check_report(platform.airflow, final, reports)
    _check_page(attempt.read(PAGE))


def _check_contract(contract: Contract, reports: list[Report]) -> None:
    """Checks that the contract accepts valid reports only, and that it reads them as they are meant."""
    if contract.stream != STREAM:
        raise WrongAnswer(f"{CONTRACT} is the contract of {contract.stream}, expected {STREAM}", "see `stream`")
    identities: dict[str, tuple[object, ...]] = {}
    for report in reports:
        event, reason = validate_event(contract, report.value, datetime.now(UTC), report.quake.id.encode())
        if report.valid and event is None:
            raise WrongAnswer(f"the contract refuses {report.description}, which is valid: {reason}", "see Reports")
        if event is None:
            continue
        if not report.valid:
            raise WrongAnswer(f"the contract accepts {report.description}, which is not valid", "see Reports")
        if event.values.get(contract.event_time) != report.quake.occurred_ms * 1000:
            raise WrongAnswer("the event time is not `properties.time`", "see `event_time`")
        identity = (event.values.get(contract.key or ""), *(event.values[name] for name in contract.id_columns))
        if identities.setdefault(report.quake.id, identity) != identity:
            raise WrongAnswer(
                "reports of one earthquake are different events, or may be in different partitions",
                "see `id` and `key`",
            )
    if not contract.id_columns or contract.key is None:
        raise WrongAnswer("reports of one earthquake are different events, or in any partition", "see `id` and `key`")
    if len(set(identities.values())) < len(identities):
        raise WrongAnswer("reports of different earthquakes are one event", "see `id`")
    if contract.keep != "last":
        raise WrongAnswer("a corrected report does not replace the first one", "see `keep`")


def _models(attempt: Attempt) -> dict[str, str]:
    """Returns the texts of the learner's dbt files, by path in the project."""
    folder = attempt.folder / "dbt"
    paths = (path.relative_to(folder) for path in sorted(folder.rglob("[!.]*")) if path.is_file())
    read = dict.fromkeys((".sql", ".md", ".csv"), attempt.read) | dict.fromkeys((".yml", ".yaml"), attempt.properties)
    return {path.as_posix(): read[path.suffix](f"dbt/{path.as_posix()}") for path in paths if path.suffix in read}


def _check_schedule(airflow: DagSandbox) -> None:
    dag = airflow.dag(DAG)
    if dag.assets != [ASSET]:
        raise WrongAnswer(f"{DAG} runs by {', '.join(dag.assets) or dag.schedule}, expected {ASSET}", "see `schedule`")
    if TASK not in dag.tasks:
        raise WrongAnswer(f"{DAG} has the tasks {', '.join(dag.tasks) or 'none'}, expected {TASK}", "name it so")


def _check_quarantine(platform: QuakePlatform, reports: Reports) -> None:
    found = {record.value for record in platform.stream.quarantine()}
    for report in reports.first:
        if report.valid == (report.value in found):
            where = "in quarantine" if report.valid else "not in quarantine"
            raise WrongAnswer(f"{report.description} is {where} after the load", "see Reports")


def _compare(platform: QuakePlatform, expected: Rows) -> None:
    compare_rows(MART, KEY, platform.project.rows(f"select * from {ASSET}"), expected)  # noqa: S608 - a constant


def _dates_with_all_classes(rows: Rows) -> list[date]:
    dates = [row[0] for row in rows.rows]
    return sorted({day for day in dates if dates.count(day) == len(CLASSES)})


def _check_tests(platform: QuakePlatform, day: date) -> None:
    tests = platform.tests()
    for fault, statement in faults(day).items():
        if not platform.project.failing(tests, MART, statement):
            raise WrongAnswer(f"no test fails if {fault}, for instance on {day}", f"add one to {MART}.yml")


def _check_backfill(warehouse: UnseenWarehouse, expected: list[date]) -> None:
    names, rows = warehouse.answer(BACKFILL)
    if names != ["event_date"]:
        raise WrongAnswer(f"{BACKFILL} has the columns {', '.join(names)}, expected event_date", "name it so")
    dates = [row[0] for row in rows]
    if other := [day for day in dates if not isinstance(day, date)]:
        raise WrongAnswer(f"{BACKFILL} returns {other[0]!r}, expected dates", "leave out a cast, or cast to date")
    for day in expected:
        if day not in dates:
            raise WrongAnswer(f"{BACKFILL} lacks {day}, whose rows change", "which dates have other types of reports?")
    for day in dates:
        if day not in expected:
            raise WrongAnswer(f"{BACKFILL} has {day}, whose rows stay as they are", "which reports count there?")
    if dates != expected:
        raise WrongAnswer(f"{BACKFILL} has dates twice or in another order", "each once, the earliest first")


def _check_rebuilt(before: dict[date, Any], after: dict[date, Any], expected: set[date]) -> None:
    for day in sorted(before.keys() | after.keys()):
        if before.get(day) != after.get(day) and day not in expected:
            raise WrongAnswer(
                f"the transform has also rebuilt {day}, of which no report has changed",
                "build the mart by its key, and limit it to stale dates, as `make new-mart` does",
            )


def _check_report(airflow: DagSandbox, rows: Rows, reports: Reports) -> None:
    """Publishes the mart several times, first without any date of the stream."""
    changed, outdated = reports.changed, reports.outdated
    steps: tuple[tuple[list[dict[str, Any]], list[date]], ...] = (
        ([_event()], []),
        # The second event comes before the run of the first has started. It belongs to the next run, as in Airflow.
        ([_event(*changed), _event(*outdated[1:])], changed),
        ([_event(outdated[0])], outdated),
    )
    for events, dates in steps:
        run = _run(airflow, events)
        state = "success" if dates else "skipped"
        if run.state != state:
            shown = ", ".join(map(str, dates)) or "no date of the stream"
            cause = f": {run.error}" if run.error else ""
            raise WrongAnswer(
                f"the task {TASK} ends as {run.state} after {shown} changed, expected {state}{cause}", "see Report"
            )
        if dates:
            _compare_report(run.value, [_reported(rows, day) for day in dates])


def _event(*dates: date) -> dict[str, Any]:
    """Returns what a transform says when it publishes: flights always change."""
    ours = {STREAM: [day.isoformat() for day in dates]} if dates else {}
    return {"dates": {"flights.departed": ["2013-01-01"], **ours}, "tests": 3, "seconds": 1.5, "run": "transform"}


def _run(airflow: DagSandbox, events: list[dict[str, Any]]) -> TaskRun:
    """Returns the run of the task that the events have triggered."""
    runs = [run for dag_run in airflow.publish((ASSET, event) for event in events) for run in dag_run.of(TASK)]
    if len(runs) != 1:
        raise WrongAnswer(
            f"the task {TASK} runs {len(runs)} times after a publication, expected once", "see `schedule`"
        )
    return runs[0]


def _reported(rows: Rows, day: date) -> dict[str, Any]:
    quakes = {row[1]: row[2] for row in rows.rows if row[0] == day}
    return {"event_date": day.isoformat(), "quakes": sum(quakes.values()), "strong": quakes.get("strong", 0)}


def _compare_report(value: Any, expected: list[dict[str, Any]]) -> None:
    if not isinstance(value, list):
        raise WrongAnswer(f"{TASK} returns {str(value)[:100]}, expected a list", "return a list of dicts")
    for found, correct in zip([*value, *["nothing more"] * len(expected)], expected, strict=False):
        if found != correct:
            shown = named(found) if isinstance(found, dict) else str(found)[:100]
            raise WrongAnswer(f"{TASK} returns {shown} where {named(correct)} is expected", "see Report")
    if len(value) > len(expected):
        raise WrongAnswer(f"{TASK} returns {len(value)} dates, expected {len(expected)}", "each date once")


def _check_page(page: str) -> None:
    texts = {heading.strip(): text for heading, _, text in (part.partition("\n") for part in page.split("\n## ")[1:])}
    for heading in HEADINGS:
        if heading not in texts:
            raise WrongAnswer(f"{PAGE} has no heading `## {heading}`", "the exercise's start has all of them")
        if len(texts[heading].split()) < WORDS:
            raise WrongAnswer(f"{PAGE} has fewer than {WORDS} words under `## {heading}`", "explain it to a colleague")
