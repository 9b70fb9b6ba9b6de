"""Exercise 16: the reports of its check, and the steps of the check that need no server."""

import shutil
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from types import ModuleType

import pytest

from exercises.catalogue import FOLDER, load_program
from exercises.grading.attempt import WrongAnswer
from exercises.grading.earthquakes import Reports, counting, mart, unseen_reports
from exercises.grading.quake_faults import CLASSES, faults
from sluice.contracts import Contract
from sluice.contracts.loader import read_contract
from sluice.contracts.validation import validate_event

EXERCISE = FOLDER / "16-earthquakes"
NAME = "quakes.reported.yaml"
SEEDS = range(20)


@pytest.fixture(scope="module")
def grader() -> ModuleType:
    return load_program(EXERCISE / "check.py")


@pytest.fixture(scope="module")
def solution() -> Contract:
    return read_contract(EXERCISE / "solution" / "contracts" / NAME)


def reports(seed: int = 0) -> Reports:
    return unseen_reports(Random(seed))


@pytest.mark.parametrize("seed", SEEDS)
def test_the_contract_of_the_solution_accepts_exactly_the_valid_reports(
    grader: ModuleType, solution: Contract, seed: int
) -> None:
    made = reports(seed)
    for report in (*made.first, *made.later):
        event, reason = validate_event(solution, report.value, datetime.now(UTC))
        assert (event is not None) == report.valid, (report.description, reason)
    grader._check_contract(solution, [*made.first, *made.later])


@pytest.mark.parametrize("seed", SEEDS)
def test_the_reports_have_what_the_check_needs(grader: ModuleType, seed: int) -> None:
    made = reports(seed)
    assert len(made.outdated) == 3
    assert len(made.changed) == 4
    assert not set(made.outdated) & set(made.changed)
    before, after = mart(made.first), mart([*made.first, *made.later])
    dates = {row[0] for row in after.rows}
    # Dates stay as they are, one has only explosions, and one is new.
    assert len(dates - {*made.outdated, *made.changed}) >= 2
    assert len(set(made.outdated) - dates) == 1
    assert len(dates - {row[0] for row in before.rows}) == 1
    day = grader._dates_with_all_classes(before)[0]
    quakes = {row[1]: row[2] for row in before.rows if row[0] == day}
    assert quakes.keys() == set(CLASSES)
    assert quakes["minor"] >= 3


def test_the_last_valid_report_of_an_earthquake_counts() -> None:
    made = reports()
    last = {report.quake.id: report.quake for report in [*made.first, *made.later] if report.valid}
    assert counting([*made.first, *made.later]) == last
    corrected = [report for report in made.later if report.description == "a correction"]
    assert all(counting(made.first)[report.quake.id] != report.quake for report in corrected)


def test_the_mart_counts_each_earthquake_once_in_its_class() -> None:
    made = reports()
    rows = mart(made.first).rows
    earthquakes = [quake for quake in counting(made.first).values() if quake.kind == "earthquake"]
    assert sum(row[2] for row in rows) == len(earthquakes)
    for day, name, quakes, reviewed, largest, _ in rows:
        of_row = [quake for quake in earthquakes if (quake.date, quake.magnitude_class) == (day, name)]
        assert quakes == len(of_row)
        assert reviewed == sum(quake.status == "reviewed" for quake in of_row)
        assert (largest is None) == (name == "unknown")


def test_every_fault_is_a_statement_of_its_own() -> None:
    planted = faults(mart(reports().first).rows[0][0])
    assert len(set(planted.values())) == len(planted)
    assert not any("{" in statement for statement in planted.values())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("keep: last\n", "", "does not replace"),
        ("\nid: id\n", "\n", "different events"),
        ("\nid: id\n", "\nid: status\n", "different events"),
        ("\nid: id\n", "\nid: kind\n", "are one event|different events"),
        ("\nkey: id\n", "\n", "in any partition"),
        ("\nkey: id\n", "\nkey: status\n", "different partitions"),
        ("event_time: occurred_at", "event_time: record", "event time"),
        ("from: properties.time", "from: properties.updated", "accepts a report without a time|event time"),
        ("enum: [automatic, reviewed]", "max_length: 20", "accepts a report with the status deleted"),
        ("maximum: 10\n", "maximum: 11\n", "accepts a report with the magnitude 10.01"),
        ("minimum: -2\n", "minimum: -3\n", "accepts a report with the magnitude -2.01"),
        ("minimum: -2\n", "minimum: -1.5\n", "refuses a report with the magnitude -2"),
        ("maximum: 10\n", "maximum: 9.99\n", "refuses a report with the magnitude 10"),
        ("minimum: -10\n", "minimum: -9\n", "refuses a report from a depth of -"),
        ("    minimum: -10\n", "", "accepts a report from a depth of -10.5"),
        ("maximum: 1000\n", "maximum: 999\n", "refuses a report from a depth of "),
        ("type: decimal(4, 2)\n", "type: decimal(6, 4)\n", "accepts a report with the magnitude 3.125"),
        ("type: decimal(7, 3)\n", "type: decimal(8, 4)\n", "accepts a report from a depth of 7.0625"),
        ("    maximum: 1000\n", "", "accepts a report from a depth"),
        ("type: decimal(4, 2)\n", "type: decimal(4, 1)\n", "refuses a report"),
        ("max_length: 64", "enum: [earthquake, explosion, quarry blast]", "refuses a report of the type ice quake"),
    ],
)
def test_a_wrong_contract_is_named_with_a_report(
    grader: ModuleType, tmp_path: Path, old: str, new: str, message: str
) -> None:
    text = (EXERCISE / "solution" / "contracts" / NAME).read_text()
    assert old in text
    (tmp_path / NAME).write_text(text.replace(old, new))
    made = reports()
    with pytest.raises(WrongAnswer, match=message) as caught:
        grader._check_contract(read_contract(tmp_path / NAME), [*made.first, *made.later])
    assert str(caught.value).isprintable()


def test_the_page_needs_words_under_each_heading(grader: ModuleType) -> None:
    page = (EXERCISE / "solution" / "PAGE.md").read_text()
    grader._check_page(page)
    with pytest.raises(WrongAnswer, match="no heading `## Limits`"):
        grader._check_page(page.replace("## Limits", "## End"))
    with pytest.raises(WrongAnswer, match="fewer than 20 words under `## Source`"):
        grader._check_page((EXERCISE / "answer" / "PAGE.md").read_text())


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "expected a list"),
        ([], "returns nothing more where event_date 2018-02-01"),
        ([{"event_date": "2018-02-01", "quakes": 2}], "returns event_date 2018-02-01, quakes 2 where"),
        ([{"event_date": "2018-02-01", "quakes": 3, "strong": 0}] * 2, "returns 2 dates, expected 1"),
    ],
)
def test_the_first_difference_of_a_report_is_named(grader: ModuleType, value: object, message: str) -> None:
    with pytest.raises(WrongAnswer, match=message):
        grader._compare_report(value, [{"event_date": "2018-02-01", "quakes": 3, "strong": 0}])


def test_the_start_is_in_the_folders_of_the_platform_and_complete(tmp_path: Path) -> None:
    start, solution = EXERCISE / "answer", EXERCISE / "solution"
    shutil.copytree(solution, tmp_path, dirs_exist_ok=True)
    (tmp_path / "README.md").unlink()
    names = {path.relative_to(start) for path in start.rglob("*") if path.is_file()}
    assert names == {path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()}
