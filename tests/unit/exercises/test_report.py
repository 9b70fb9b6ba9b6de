"""A report shows edits, files that did not pass, and nothing that a browser would run."""

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from exercises.answers import digests
from exercises.catalogue import read_exercises
from exercises.progress import Progress, Record
from exercises.report import Report, differences, read_report, results
from sluice.errors import TerminalError

START = datetime(2013, 1, 1, 10, 0, tzinfo=UTC)
FIRST = read_exercises()[0]
LEARNER = 'Ada <script>alert("1")</script> & Zoë'


@pytest.fixture
def report(tmp_path: Path) -> Report:
    answer = tmp_path / FIRST.name / "answer.sql"
    answer.parent.mkdir()
    answer.write_text("select 1\n")
    record = Record(
        started=START, hints=1, checks=4, solved=START + timedelta(minutes=25), submitted=digests(answer.parent)
    )
    progress = Progress(exercises={FIRST.name: record})
    return Report(
        learner=LEARNER,
        written=START + timedelta(days=1),
        revision="abc123",
        modified=["exercises/01-late-airlines/check.py"],
        results=results(read_exercises(), progress),
    )


def test_a_report_is_read_as_it_was_written(report: Report, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(report.to_json())
    assert read_report(path) == (report, True)
    # Another layout of the same content is no edit.
    path.write_text(json.dumps(json.loads(report.to_json())))
    assert read_report(path) == (report, True)
    assert report.points == 9
    assert report.possible == sum(exercise.description.points for exercise in read_exercises())


def test_files_of_the_solution_are_named_and_given_ones_are_not(tmp_path: Path) -> None:
    exercise = read_exercises()[4]
    answers = tmp_path / exercise.name
    shutil.copytree(exercise.template, answers)
    shutil.copy(exercise.solution / "gauges.measured.yaml", answers)
    progress = Progress(exercises={exercise.name: Record(solved=START, submitted=digests(answers))})
    (result,) = results([exercise], progress)
    assert result.from_solution == ["gauges.measured.yaml"]
    (answers / "gauges.measured.yaml").write_text("mine")
    progress.record(exercise).submitted = digests(answers)
    assert results([exercise], progress)[0].from_solution == []


@pytest.mark.parametrize(
    ("edited", "value"),
    [
        (["learner"], "Bob"),
        (["revision"], "def456"),
        (["results", 0, "points"], 10),
        (["results", 0, "submitted", "answer.sql"], "0" * 64),
        (["digest"], "0" * 64),
    ],
)
def test_an_edit_is_noticed(report: Report, tmp_path: Path, edited: list[Any], value: object) -> None:
    content = json.loads(report.to_json())
    place = content
    for key in edited[:-1]:
        place = place[key]
    assert place[edited[-1]] != value
    place[edited[-1]] = value
    path = tmp_path / "report.json"
    path.write_text(json.dumps(content))
    assert read_report(path)[1] is False


def test_an_added_field_is_noticed(report: Report, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(json.dumps({**json.loads(report.to_json()), "bonus": 50}))
    assert read_report(path)[1] is False


def test_files_that_are_not_those_that_passed_are_named(report: Report, tmp_path: Path) -> None:
    assert list(differences(report, tmp_path)) == []
    answer = tmp_path / FIRST.name / "answer.sql"
    answer.write_text("select 2\n")
    assert list(differences(report, tmp_path)) == [f"{FIRST.name}: answer.sql is not the file that passed"]
    answer.unlink()
    assert list(differences(report, tmp_path)) == [f"{FIRST.name}: answer.sql is missing"]


@pytest.mark.parametrize("content", ["", "{", "[]", "1", '{"digest": "0"}', "\xff"])
def test_another_file_is_not_a_report(tmp_path: Path, content: str) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(TerminalError, match="is not a report"):
        read_report(path)
    with pytest.raises(TerminalError, match="cannot be read"):
        read_report(tmp_path / "missing.json")


def test_the_page_has_the_results_and_no_program(report: Report) -> None:
    page = report.to_html()
    submitted = report.results[0].submitted["answer.sql"]
    assert "<script" not in page
    assert "Ada &lt;script&gt;" in page
    assert f"<tr><td>01 {FIRST.description.title}<td>ask" in page
    for expected in (
        "9 of 10",
        ">25",
        "2013-01-01 10:25",
        "abc123",
        "check.py",
        submitted,
        json.loads(report.to_json())["digest"],
    ):
        assert expected in page
