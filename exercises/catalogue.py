"""The exercises: one folder each, found by its number or its name."""

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Annotated, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from exercises.grading.attempt import Attempt
from sluice.errors import TerminalError
from sluice.settings import ROOT

FOLDER = ROOT / "exercises"
Stage = Literal["ask", "fix", "extend", "build"]
STAGES: tuple[Stage, ...] = get_args(Stage)

_NAME = re.compile(r"(?P<number>\d\d)-[a-z0-9]+(-[a-z0-9]+)*")
_HINT = re.compile(r"<details>\s*<summary>Hint \d</summary>\s*(?P<text>.*?)\s*</details>", re.DOTALL)


class Description(BaseModel):
    """The content of ``exercise.yaml``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    stage: Stage
    learn: str
    """What the exercise teaches, in one line."""
    points: Annotated[int, Field(ge=1, le=50)] = 10


@dataclass(frozen=True)
class Exercise:
    """One exercise."""

    folder: Path
    description: Description

    @property
    def name(self) -> str:
        """Number and name, for instance ``01-late-airlines``."""
        return self.folder.name

    @property
    def number(self) -> int:
        """The number by which a learner names it."""
        return int(self.name[:2])

    @property
    def words(self) -> str:
        """The name without its number, for instance ``late-airlines``."""
        return self.name[3:]

    @property
    def hints(self) -> list[str]:
        """The hints, which are folded away in the exercise's page."""
        return [match["text"] for match in _HINT.finditer(self.page)]

    @property
    def page(self) -> str:
        """The exercise's page, as Markdown."""
        return (self.folder / "README.md").read_text()

    @property
    def template(self) -> Path:
        """The folder of the files with which an attempt starts."""
        return self.folder / "answer"

    @property
    def solution(self) -> Path:
        """The folder of a solution, with an explanation."""
        return self.folder / "solution"

    @property
    def solution_files(self) -> list[Path]:
        """The explanation of the solution, then its other files."""
        files = [path for path in self.solution.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
        return sorted(files, key=lambda path: (path.suffix != ".md", path))

    def start(self, attempt: Attempt) -> None:
        """Brings the platform into the state that the exercise needs. Can be repeated.

        Raises:
            SluiceError: a server is down, or the platform lacks data that the exercise needs.
        """
        self._call("start", attempt)

    def clean(self, attempt: Attempt) -> None:
        """Undoes on the servers what the start has made there. Can be repeated.

        Raises:
            WrongAnswer: the learner has deleted a file that it needs.
            SluiceError: a server is down.
        """
        self._call("clean", attempt)

    def check(self, attempt: Attempt) -> None:
        """Grades an attempt. Changes nothing of the learner's.

        Raises:
            WrongAnswer: says which first row, offset or date is wrong.
            SluiceError: a server is down.
        """
        load_program(self.folder / "check.py").check(attempt)

    def _call(self, name: str, attempt: Attempt) -> None:
        """Calls a function that not every grader has."""
        function: Callable[[Attempt], None] | None = getattr(load_program(self.folder / "check.py"), name, None)
        if function:
            function(attempt)


def load_program(path: Path) -> ModuleType:
    """Returns a program of an exercise as a module of its own name: those of all exercises have the same file names."""
    name = re.sub(r"\W", "_", "_".join(("exercise", *path.with_suffix("").parts[-3:])))
    spec = spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    # Dataclasses look their module up.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def read_exercises(folder: Path = FOLDER) -> list[Exercise]:
    """Returns all exercises in the order of their numbers.

    Raises:
        TerminalError: a folder has an invalid description.
    """
    folders = sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))
    return [Exercise(path, _read_description(path / "exercise.yaml")) for path in folders]


def get_exercise(name: str) -> Exercise:
    """Returns an exercise.

    Args:
        name: its number, the name of its folder, or that name without the number.

    Raises:
        TerminalError: there is none.
    """
    exercises = read_exercises()
    wanted = name.strip().lower()
    for exercise in exercises:
        if wanted.removeprefix("0") == str(exercise.number) or wanted in (exercise.name, exercise.words):
            return exercise
    near = get_close_matches(wanted, [exercise.words for exercise in exercises], n=1)
    meant = f"write {near[0]}" if near else f"write a number from {exercises[0].number} to {exercises[-1].number}"
    raise TerminalError(f"there is no exercise {name!r}", f"{meant}; `make learn` lists them")


def _read_description(path: Path) -> Description:
    try:
        return Description.model_validate(yaml.safe_load(path.read_text()))
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise TerminalError(
            f"{path.relative_to(ROOT)} is invalid: {error}", "compare it with another exercise"
        ) from error
