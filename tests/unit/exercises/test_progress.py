"""The learner's progress: points, and a file that survives interruptions and reports edits."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from exercises.catalogue import read_exercises
from exercises.progress import Progress, Record, changed_progress, read_progress
from sluice.errors import TerminalError

NOW = datetime(2013, 1, 1, tzinfo=UTC)
EXERCISES = read_exercises()
FIRST, SECOND = EXERCISES[:2]


def test_a_hint_costs_a_point_and_a_solution_all_of_them() -> None:
    assert Record(started=NOW).points(FIRST) == 0
    assert Record(started=NOW, solved=NOW).points(FIRST) == 10
    assert Record(started=NOW, solved=NOW, hints=2).points(FIRST) == 8
    assert Record(started=NOW, solved=NOW, hints=99).points(FIRST) == 1
    assert Record(started=NOW, solved=NOW, solution_seen=NOW).points(FIRST) == 0
    assert Record(started=NOW, solved=NOW, solution_seen=NOW + timedelta(1)).points(FIRST) == 10


def test_the_points_that_are_left_are_those_that_it_gives_once_solved() -> None:
    assert Progress().reachable(FIRST) == 10
    for record, left in (
        (Record(hints=2), 8),
        (Record(hints=99), 1),
        (Record(solution_seen=NOW), 0),
        (Record(solved=NOW, hints=1, solution_seen=NOW + timedelta(1)), 9),
    ):
        assert Progress(exercises={FIRST.name: record}).reachable(FIRST) == left


def test_a_change_survives_in_a_folder_that_does_not_exist_yet(tmp_path: Path) -> None:
    folder = tmp_path / "class" / "answers"
    assert read_progress(folder) == Progress()
    with changed_progress(folder) as progress:
        progress.record(FIRST).opened = NOW
        progress.record(SECOND).opened = NOW + timedelta(1)
    assert read_progress(folder) == progress
    assert progress.latest(EXERCISES) == SECOND
    assert [path.name for path in folder.iterdir()] == ["progress.json"]


def test_an_interruption_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    with changed_progress(tmp_path) as progress:
        progress.record(FIRST).hints = 1
    with pytest.raises(KeyboardInterrupt), changed_progress(tmp_path) as progress:
        progress.record(FIRST).hints = 2
        raise KeyboardInterrupt
    assert read_progress(tmp_path).record(FIRST).hints == 1


def test_an_exercise_that_does_not_exist_any_more_is_not_the_latest(tmp_path: Path) -> None:
    progress = Progress(exercises={"renamed": Record(opened=NOW + timedelta(9)), FIRST.name: Record(opened=NOW)})
    assert progress.latest(EXERCISES) == FIRST
    assert Progress().latest(EXERCISES) is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "Invalid JSON"),
        ("{", "Invalid JSON"),
        ("[]", "should be an object"),
        ('{"exercises": {"01-a": {"hints": -1}}}', "exercises.01-a.hints: "),
        ('{"exercises": {"01-a": {"started": "2013-01-01T00:00:00"}}}', "exercises.01-a.started: "),
        ('{"exercises": {"01-a": {"points": 10}}}', "exercises.01-a.points: "),
        ("\xff", "Invalid JSON"),
    ],
)
def test_an_edited_file_is_one_line(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "progress.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(TerminalError) as error:
        read_progress(tmp_path)
    assert "progress.json is invalid" in str(error.value)
    assert message in str(error.value)
    assert str(error.value).isprintable()


def test_a_file_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "answers").write_text("not a folder")
    with pytest.raises(TerminalError, match="cannot be"), changed_progress(tmp_path / "answers"):
        pass


def test_times_are_written_with_their_zone(tmp_path: Path) -> None:
    with changed_progress(tmp_path) as progress:
        progress.record(FIRST)
    record = json.loads((tmp_path / "progress.json").read_text())["exercises"][FIRST.name]
    assert record["started"].endswith("Z")
