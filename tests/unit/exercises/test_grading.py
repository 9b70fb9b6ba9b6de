"""How results are compared, what an exercise consists of, and what progress a learner has."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from exercises.attempt import Attempt, WrongAnswer, compare
from exercises.catalogue import STAGES, Exercise, get_exercise, read_exercises
from exercises.progress import Progress, Record, read_progress, write_progress
from sluice.errors import TerminalError
from sluice.settings import Settings

NOW = datetime(2013, 1, 1, tzinfo=UTC)


def test_numbers_are_equal_whatever_their_type_and_last_digits() -> None:
    compare(["a", "b"], [(1, 0.30000000000000004)], ["a", "b"], [(Decimal("1.0"), Decimal("0.3"))])


@pytest.mark.parametrize(
    ("names", "rows", "message"),
    [
        (["b"], [(1,), (2,)], "the columns are b, expected a"),
        (["a"], [(1,), (3,)], "row 2 has a 3, expected 2"),
        (["a"], [(2,), (1,)], "row 1 has a 2, expected 1"),
        (["a"], [(1,)], "returns 1 rows, expected 2"),
        (["a"], [(1,), (2,), (3,)], "returns 3 rows, expected 2"),
        (["a"], [(1,), (None,)], "row 2 has a null, expected 2"),
        ([], [], "the columns are none"),
    ],
)
def test_the_first_difference_is_named(names: list[str], rows: list[tuple[object, ...]], message: str) -> None:
    with pytest.raises(WrongAnswer, match=message):
        compare(names, rows, ["a"], [(1,), (2,)])


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_a_missing_or_unreadable_file_is_a_wrong_answer(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "answer.sql").write_bytes(content)
    with pytest.raises(WrongAnswer, match=r"answer\.sql"):
        Attempt(Settings.model_construct(), tmp_path, tmp_path).read("answer.sql")


@pytest.mark.parametrize("exercise", read_exercises(), ids=lambda exercise: exercise.name)
def test_every_exercise_is_complete(exercise: Exercise) -> None:
    assert exercise.description.stage in STAGES
    assert len(exercise.hints) == 3
    assert exercise.page.startswith(f"# {exercise.description.title}\n")
    assert "## What you learn" in exercise.page
    assert (exercise.solution / "README.md").exists()
    for wrong in (exercise.folder / "wrong").iterdir():
        assert (wrong / "message.txt").read_text().strip()


def test_the_numbers_have_no_gap() -> None:
    exercises = read_exercises()
    assert [exercise.number for exercise in exercises] == list(range(1, len(exercises) + 1))
    with pytest.raises(TerminalError, match="there is no exercise 99"):
        get_exercise(99)


def test_a_hint_costs_a_point_and_a_solution_all_of_them() -> None:
    exercise = get_exercise(1)
    assert Record(started=NOW).points(exercise) == 0
    assert Record(started=NOW, solved=NOW).points(exercise) == 10
    assert Record(started=NOW, solved=NOW, hints=2).points(exercise) == 8
    assert Record(started=NOW, solved=NOW, solution_seen=NOW).points(exercise) == 0
    assert Record(started=NOW, solved=NOW, solution_seen=NOW + timedelta(1)).points(exercise) == 10


def test_progress_survives_and_a_damaged_file_is_one_line(tmp_path: Path) -> None:
    assert read_progress(tmp_path) == Progress()
    progress = Progress(exercises={"01-a": Record(started=NOW), "02-b": Record(started=NOW + timedelta(1))})
    write_progress(progress, tmp_path)
    assert read_progress(tmp_path) == progress
    assert progress.latest() == "02-b"
    (tmp_path / "progress.json").write_text("{")
    with pytest.raises(TerminalError, match=r"progress\.json is invalid"):
        read_progress(tmp_path)
