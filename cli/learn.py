"""The commands of the exercises: learn, check, hint, solution, reset."""

import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.table import Table

from cli.usage import whole_number
from exercises import answers
from exercises.answers import digests
from exercises.attempt import Attempt, WrongAnswer
from exercises.catalogue import STAGES, Exercise, get_exercise, read_exercises
from exercises.progress import ANSWERS, Progress, Record, now, read_progress, write_progress
from sluice.errors import TerminalError
from sluice.settings import ROOT, load_settings

_NUMBER = whole_number("N", 1, 99)
Number = Annotated[
    int | None, typer.Argument(parser=_NUMBER, help="The exercise; by default the one that was started last.")
]

_POLL_SECONDS = 0.5


def register(app: typer.Typer) -> None:
    """Adds the commands to the CLI."""
    for command in (learn, check, hint, solution, reset):
        app.command()(command)


def learn(
    number: Annotated[
        int | None, typer.Argument(parser=_NUMBER, help="The exercise to start; without it, list all.")
    ] = None,
) -> None:
    """List the exercises, or start one."""
    if number is None:
        _print_list(read_progress())
        return
    exercise = get_exercise(number)
    folder = ANSWERS / exercise.name
    answers.start(exercise, _attempt(exercise))
    progress = read_progress()
    record = progress.exercises.setdefault(exercise.name, Record(started=now()))
    record.started = now()
    write_progress(progress)
    _console().print(Markdown(exercise.page.split("## Hints")[0]))
    print(f"\nYour files are in {_shown(folder)}. When you are done: make check N={exercise.number}")


def check(
    number: Number = None,
    watch: Annotated[bool, typer.Option("--watch", help="Check again whenever a file is saved.")] = False,
) -> None:
    """Grade an answer."""
    exercise = _started(number)
    while True:
        seen = digests(ANSWERS / exercise.name)
        passed = _check(exercise)
        if not watch:
            raise typer.Exit(0 if passed else 1)
        if passed:
            return
        print(f"waiting for a change in {_shown(ANSWERS / exercise.name)}; Ctrl-C ends this")
        while digests(ANSWERS / exercise.name) == seen:
            time.sleep(_POLL_SECONDS)


def hint(number: Number = None) -> None:
    """Show the next hint, which costs a point."""
    exercise = _started(number)
    progress = read_progress()
    record = progress.exercises[exercise.name]
    hints = exercise.hints
    if record.hints < len(hints) and record.solved is None:
        record.hints += 1
        write_progress(progress)
    for index, text in enumerate(hints[: record.hints or len(hints)], start=1):
        _console().print(Markdown(f"**Hint {index} of {len(hints)}.** {text}"))


def solution(
    number: Number = None,
    force: Annotated[bool, typer.Option("--force", help="Do not ask for confirmation.")] = False,
) -> None:
    """Show a solution. Before the exercise is solved, this ends its points."""
    exercise = _started(number)
    progress = read_progress()
    record = progress.exercises[exercise.name]
    if record.solved is None and record.solution_seen is None:
        if not force and not typer.confirm("The solution ends the points of this exercise. Show it?", default=False):
            raise typer.Exit(1)
        record.solution_seen = now()
        write_progress(progress)
    for path in sorted(exercise.solution.rglob("*")):
        if path.is_file():
            text = path.read_text()
            body = text if path.suffix == ".md" else f"`{path.name}`\n\n```{path.suffix[1:]}\n{text}\n```"
            _console().print(Markdown(body))


def reset(
    number: Annotated[int, typer.Argument(parser=_NUMBER, help="The exercise.")],
    force: Annotated[bool, typer.Option("--force", help="Do not ask for confirmation.")] = False,
) -> None:
    """Bring an exercise back to its start. Hints and checks stay counted; other exercises stay as they are."""
    exercise = _started(number)
    folder = ANSWERS / exercise.name
    if not force and not typer.confirm(f"Delete your files in {_shown(folder)}?", default=False):
        raise typer.Exit(1)
    answers.reset(exercise, _attempt(exercise))
    learn(number)


def _check(exercise: Exercise) -> bool:
    progress = read_progress()
    record = progress.exercises[exercise.name]
    attempt = _attempt(exercise)
    submitted = digests(attempt.folder)
    wrong = None
    try:
        exercise.check(attempt)
    except WrongAnswer as error:
        wrong = error
    record.checks += 1
    first = wrong is None and record.solved is None
    if first:
        record.solved, record.submitted = now(), submitted
    write_progress(progress)
    if wrong:
        print(f"not yet: {wrong}")
        return False
    points = record.points(exercise)
    print(f"solved: {exercise.description.title}, {points} of {exercise.description.points} points")
    following = _next(progress)
    if following:
        print(f"next: make learn N={following.number} ({following.description.title})")
    return True


def _attempt(exercise: Exercise) -> Attempt:
    return Attempt(load_settings(), ANSWERS / exercise.name, exercise.solution)


def _started(number: int | None) -> Exercise:
    """Returns an exercise that was started: that of the number, or the latest."""
    progress = read_progress()
    if number is None:
        latest = progress.latest()
        if latest is None:
            raise TerminalError(
                "no exercise was started yet", "`make learn` lists them, and `make learn N=1` starts one"
            )
        number = int(latest[:2])
    exercise = get_exercise(number)
    if exercise.name not in progress.exercises:
        raise TerminalError(f"exercise {number} was not started yet", f"run `make learn N={number}`")
    return exercise


def _next(progress: Progress) -> Exercise | None:
    for exercise in read_exercises():
        record = progress.exercises.get(exercise.name)
        if record is None or record.solved is None:
            return exercise
    return None


def _print_list(progress: Progress) -> None:
    following = _next(progress)
    table = Table(box=None, pad_edge=False)
    for name in ("", "exercise", "you learn", "points", "hints"):
        table.add_column(name, justify="right" if name in ("points", "hints") else "left", no_wrap=name != "you learn")
    total = possible = 0
    for stage in STAGES:
        exercises = [exercise for exercise in read_exercises() if exercise.description.stage == stage]
        if exercises:
            table.add_row("", f"[bold]{stage.capitalize()}[/]")
        for exercise in exercises:
            record = progress.exercises.get(exercise.name)
            points = record.points(exercise) if record else 0
            total, possible = total + points, possible + exercise.description.points
            mark = "✓" if record and record.solved else "→" if exercise == following else ""
            table.add_row(
                mark,
                f"{exercise.number:>2}  {exercise.description.title}",
                exercise.description.learn,
                f"{points}/{exercise.description.points}",
                str(record.hints) if record else "",
            )
    _console().print(table)
    print(f"\n{total} of {possible} points")
    if following:
        print(f"next: make learn N={following.number} ({following.description.title})")


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else 100, highlight=False)


def _shown(folder: Path) -> Path:
    return folder.relative_to(ROOT) if folder.is_relative_to(ROOT) else folder
