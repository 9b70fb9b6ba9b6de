"""The first exercise by its commands, from the page to the points."""

import shutil
from pathlib import Path

import pytest

from exercises.catalogue import get_exercise
from tests.fixtures.platform import Running


def test_an_exercise_is_solved_by_its_commands(
    platform: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Not those of a developer who runs the tests.
    monkeypatch.setenv("SLUICE_ANSWERS", str(tmp_path))
    exercise = get_exercise("1")
    assert platform.sluice("learn", "1").stdout.startswith(f"# {exercise.description.title}\n")
    failed = platform.sluice("check", check=False)
    assert (failed.returncode, failed.stderr) == (1, "")
    assert failed.stdout.startswith("not yet: answer.sql has no query yet. Hint: ")
    shutil.copy(exercise.solution / "answer.sql", tmp_path / exercise.name)
    assert f"solved: {exercise.description.title}, 10 of 10 points" in platform.sluice("check", "1").stdout
    assert "✓" in platform.sluice("learn").stdout
