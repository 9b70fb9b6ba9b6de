"""A new exercise is complete once its author has completed what the template marks."""

import re
import shutil
from pathlib import Path

import pytest

from cli.new_exercise import exercise_files
from cli.new_files import write_files
from exercises.catalogue import FOLDER, Exercise, read_exercises
from sluice.errors import TerminalError
from tests.fixtures.exercises import faults


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one exercise and the template."""
    for name in ("01-late-airlines", "template"):
        shutil.copytree(FOLDER / name, tmp_path / name)
    return tmp_path


def begun(folder: Path) -> Exercise:
    """Returns a new exercise."""
    write_files(exercise_files(folder, "late-bags", "fix"))
    return read_exercises(folder)[-1]


def test_a_new_exercise_has_the_next_number_and_names_what_is_missing(folder: Path) -> None:
    exercise = begun(folder)
    assert (exercise.name, exercise.number) == ("02-late-bags", 2)
    assert (exercise.description.title, exercise.description.stage) == ("Late bags", "fix")
    assert "answers/02-late-bags/answer.sql" in exercise.page
    assert "make check N=2" in exercise.page
    found = list(faults(exercise))
    assert found
    assert all(fault.endswith("has a TODO(author)") for fault in found)
    assert not [path for path in exercise.folder.rglob("*") if path.is_file() and "{{" in path.read_text()]


def test_a_completed_exercise_has_no_faults(folder: Path) -> None:
    exercise = begun(folder)
    for path in exercise.folder.rglob("*"):
        if path.is_file():
            path.write_text(re.sub(r"TODO\(author\)[:,]?", "Completed", path.read_text()))
    assert list(faults(read_exercises(folder)[-1])) == []


def test_the_graders_of_the_template_can_be_loaded(folder: Path) -> None:
    compile((begun(folder).folder / "check.py").read_text(), "check.py", "exec")


@pytest.mark.parametrize(
    ("name", "stage", "message"),
    [
        ("Late bags", "fix", "'Late bags' cannot be the name of an exercise"),
        ("late_bags", "fix", "cannot be the name"),
        ("../late", "fix", "cannot be the name"),
        ("x" * 41, "fix", "cannot be the name"),
        ("late-bags", "play", "STAGE=play is unknown. Hint: choose from ask, fix, extend, build"),
        ("late-airlines", "fix", "exercise 1 has the name late-airlines"),
    ],
)
def test_a_wrong_name_or_stage_is_one_line(folder: Path, name: str, stage: str, message: str) -> None:
    with pytest.raises(TerminalError) as error:
        exercise_files(folder, name, stage)
    assert message in str(error.value)
