"""Each exercise on a complete platform: its start fails, its solution passes, and wrong answers fail as they should."""

import shutil
import sys
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from exercises.attempt import Attempt, WrongAnswer
from exercises.catalogue import Exercise, read_exercises
from exercises.progress import digests
from tests.fixtures.platform import Running

EXERCISES = read_exercises()
WRONG = [(exercise, path) for exercise in EXERCISES for path in sorted((exercise.folder / "wrong").iterdir())]


@pytest.fixture
def attempts(platform: Running, tmp_path: Path) -> "Iterator[Attempts]":
    yield Attempts(platform, tmp_path)


class Attempts:
    def __init__(self, platform: Running, folder: Path) -> None:
        self._platform, self._folder = platform, folder

    def start(self, exercise: Exercise) -> Attempt:
        """Starts an exercise in a new folder."""
        folder = self._folder / exercise.name
        shutil.copytree(exercise.template, folder)
        attempt = Attempt(self._platform.settings, folder, exercise.solution)
        exercise.start(attempt)
        return attempt


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_the_start_fails_and_the_solution_passes(attempts: Attempts, exercise: Exercise) -> None:
    attempt = attempts.start(exercise)
    before = digests(attempt.folder)
    with pytest.raises(WrongAnswer):
        exercise.check(attempt)
    # Starting again changes nothing of the learner's.
    exercise.start(attempt)
    assert digests(attempt.folder) == before
    if (program := exercise.solution / "solve.py").exists():
        _solve(program, attempt)
    else:
        for name in before.keys() & digests(exercise.solution).keys():
            shutil.copy(exercise.solution / name, attempt.folder / name)
    solved = digests(attempt.folder)
    for _ in range(2):
        exercise.check(attempt)
    assert digests(attempt.folder) == solved


@pytest.mark.parametrize(
    ("exercise", "wrong"), WRONG, ids=[f"{exercise.name}-{wrong.name}" for exercise, wrong in WRONG]
)
def test_a_wrong_answer_gets_its_message(attempts: Attempts, exercise: Exercise, wrong: Path) -> None:
    attempt = attempts.start(exercise)
    files = [path for path in wrong.iterdir() if path.name != "message.txt"]
    for path in files:
        shutil.copy(path, attempt.folder / path.name)
    with pytest.raises(WrongAnswer) as caught:
        exercise.check(attempt)
    assert (wrong / "message.txt").read_text().strip() in str(caught.value)
    assert str(caught.value).isprintable()
    solutions = [path.read_text() for path in exercise.solution.iterdir()]
    assert not any(str(caught.value) in text for text in solutions)


def test_no_check_leaves_a_database(platform: Running) -> None:
    assert platform.query("select datname from pg_database where datname like 'sluice_check_%'").empty


def _solve(program: Path, attempt: Attempt) -> None:
    spec = spec_from_file_location("solve", program)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    sys.modules.pop("solve", None)
    spec.loader.exec_module(module)
    module.solve(attempt)
