"""The command that begins a new exercise from the template."""

import re
from pathlib import Path
from typing import Annotated

import typer

from cli.exercise_pages import shown
from cli.new_files import write_files
from cli.usage import missing, require
from exercises.catalogue import FOLDER, STAGES, read_exercises
from sluice.errors import TerminalError

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_LONGEST = 40
_MAX_NUMBER = 99


def register(app: typer.Typer) -> None:
    """Adds the command to the CLI."""
    app.command()(new_exercise)


def new_exercise(
    name: Annotated[str, typer.Argument(help="Words with hyphens, for example late-bags.")],
    stage: Annotated[str, typer.Option(help="One of ask, fix, extend, build.")] = "",
) -> None:
    """Begin a new exercise: write its folder from the template."""
    require(name, "NAME", "new-exercise")
    if not stage.strip():
        raise missing("STAGE", "new-exercise")
    files = exercise_files(FOLDER, name, stage)
    write_files(files)
    for path in files:
        print(f"wrote {shown(path)}")
    number = next(iter(files)).relative_to(FOLDER).parts[0][:2].lstrip("0")
    print(
        "next: complete what is marked TODO(author) in these files, beginning with README.md; see docs/teaching.md.\n"
        f"then: .venv/bin/python -m docs.exercise_table, make test-unit, make learn N={number}, make check N={number}"
    )


def exercise_files(folder: Path, name: str, stage: str) -> dict[Path, bytes]:
    """Returns the files of a new exercise by path.

    Args:
        folder: the folder of all exercises and of the template.
        name: the name without a number.
        stage: the stage.

    Raises:
        TerminalError: the name is not one, or is taken, or there is no such stage.
    """
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        raise TerminalError(
            f"{name!r} cannot be the name of an exercise", "give words in lower case with hyphens, such as late-bags"
        )
    if stage not in STAGES:
        raise TerminalError(f"STAGE={stage} is unknown", f"choose from {', '.join(STAGES)}")
    exercises = read_exercises(folder)
    for exercise in exercises:
        if exercise.words == name:
            raise TerminalError(f"exercise {exercise.number} has the name {name}", "choose another name")
    number = max((exercise.number for exercise in exercises), default=0) + 1
    if number > _MAX_NUMBER:
        raise TerminalError(f"there are {_MAX_NUMBER} exercises, which is all that two digits can number")
    own = f"{number:02}-{name}"
    values = {"number": str(number), "name": own, "title": name.replace("-", " ").capitalize(), "stage": stage}
    template = folder / "template"
    paths = [path for path in sorted(template.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]
    return {folder / own / path.relative_to(template): _filled(path.read_text(), values).encode() for path in paths}


def _filled(text: str, values: dict[str, str]) -> str:
    for key, value in values.items():
        text = text.replace(f"{{{{{key}}}}}", value)
    return text
