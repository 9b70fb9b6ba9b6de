"""The commands of the exercises: learn, check, hint, solution, reset."""

import sys
from dataclasses import replace
from typing import Annotated

import typer

from cli.exercise_pages import show_list, show_markdown, show_next, show_result, shown, steps, until_closed
from cli.usage import require
from exercises import answers
from exercises.catalogue import Exercise, get_exercise, read_exercises
from exercises.grading.attempt import Attempt, WrongAnswer
from exercises.progress import changed_progress, now, read_progress
from sluice.errors import TerminalError
from sluice.settings import Settings, load_settings

Name = Annotated[str, typer.Argument(help="The exercise's number or name; by default the one named last.")]
Force = Annotated[bool, typer.Option("--force", help="Skip the confirmation.")]

_CHECKS_BEFORE_HINT = 3
"""Failed checks after which a check mentions the hints."""


def register(app: typer.Typer) -> None:
    """Adds the commands to the CLI."""
    for command in (learn, check, hint, solution, reset):
        app.command()(command)


def learn(
    name: Annotated[
        str, typer.Argument(help="The number or name of the exercise to start; without it, list all.")
    ] = "",
) -> None:
    """List the exercises, or start one."""
    settings = load_settings()
    if not name.strip():
        with until_closed():
            show_list(read_exercises(), read_progress(settings.answers))
        return
    exercise = get_exercise(name)
    # An invalid file is reported before anything changes.
    read_progress(settings.answers)
    answers.start(exercise, _attempt(settings, exercise))
    _open(settings, exercise)


def check(
    name: Name = "",
    watch: Annotated[bool, typer.Option("--watch", help="Check again whenever a file is saved.")] = False,
) -> None:
    """Grade an answer; exit with 1 if it is wrong."""
    settings = load_settings()
    attempt, exercise = _opened(settings, name)
    while True:
        seen = answers.digests(attempt.folder)
        if _check(exercise, attempt, seen):
            return
        if not watch:
            raise typer.Exit(1)
        with until_closed():
            print(f"waiting for a change in {shown(attempt.folder)}; Ctrl-C ends this")
        answers.wait_for_change(attempt.folder, seen)
        with until_closed():
            print()


def hint(name: Name = "") -> None:
    """Show the next hint, which costs a point."""
    settings = load_settings()
    _, exercise = _opened(settings, name)
    hints, points = exercise.hints, exercise.description.points
    with changed_progress(settings.answers) as progress:
        record = progress.record(exercise)
        costs = record.solved is None and record.hints < len(hints)
        if costs:
            record.hints += 1
    with until_closed():
        for number, text in enumerate(hints if record.solved else hints[: record.hints], start=1):
            show_markdown(f"**Hint {number} of {len(hints)}.** {text}")
        if costs and not record.solution_seen:
            print(f"this hint costs a point: {record.reachable(exercise)} of {points} are left")


def solution(name: Name = "", force: Force = False) -> None:
    """Show a solution. Before the exercise is solved, this ends its points."""
    settings = load_settings()
    _, exercise = _opened(settings, name)
    record = read_progress(settings.answers).record(exercise)
    if record.solved is None and record.solution_seen is None:
        _confirm(force, "the solution ends the points of this exercise", f"make solution N={exercise.number}")
        with changed_progress(settings.answers) as progress:
            progress.record(exercise).solution_seen = now()
    with until_closed():
        for path in exercise.solution_files:
            text = path.read_text().rstrip()
            name = path.relative_to(exercise.solution).as_posix()
            show_markdown(text if path.suffix == ".md" else f"`{name}`\n\n```{path.suffix[1:]}\n{text}\n```")


def reset(
    name: Annotated[str, typer.Argument(help="The exercise's number or name.")] = "", force: Force = False
) -> None:
    """Bring an exercise back to its start. Hints and checks stay counted; other exercises stay as they are."""
    settings = load_settings()
    exercise = get_exercise(require(name, "N", "reset"))
    attempt = _attempt(settings, exercise)
    if exercise.name not in read_progress(settings.answers).exercises and not attempt.folder.is_dir():
        raise TerminalError(
            f"there is nothing to reset: exercise {exercise.number} was not started",
            f"`make learn N={exercise.number}` starts it",
        )
    if answers.digests(attempt.folder):
        _confirm(force, f"this deletes your files in {shown(attempt.folder)}", f"make reset N={exercise.number}")
    answers.reset(exercise, attempt)
    _open(settings, exercise)


def _open(settings: Settings, exercise: Exercise) -> None:
    """Shows an exercise's page; from now on, it is the one that the other commands mean."""
    with changed_progress(settings.answers) as progress:
        progress.record(exercise).opened = now()
    with until_closed():
        show_markdown(exercise.page.split("\n## Hints")[0])
        print(f"your files: {shown(settings.answers / exercise.name)}")
        print(f"when you are done: make check N={exercise.number}")


def _check(exercise: Exercise, attempt: Attempt, submitted: dict[str, str]) -> bool:
    """Grades an answer, prints the result and records it."""
    wrong = None
    with steps(exercise.name) as tell:
        try:
            _grade(exercise, replace(attempt, tell=tell))
            if answers.digests(attempt.folder) != submitted:
                raise WrongAnswer("a file was saved during the check", "check again")
        except WrongAnswer as error:
            wrong = error
    # A hint may have been taken meanwhile, in another terminal.
    with changed_progress(attempt.folder.parent) as progress:
        record = progress.record(exercise)
        record.checks += 1
        if wrong is None:
            record.solved, record.submitted = record.solved or now(), submitted
    with until_closed():
        show_result(exercise, progress, wrong)
        if wrong is None:
            show_next(read_exercises(), progress, exercise)
        elif record.checks >= _CHECKS_BEFORE_HINT and record.hints < len(exercise.hints) and record.solved is None:
            print(f"a hint costs a point: make hint N={exercise.number}")
    return wrong is None


def _grade(exercise: Exercise, attempt: Attempt) -> None:
    try:
        exercise.check(attempt)
    except KeyboardInterrupt:
        print("sluice: interrupted: the answer was not graded. Hint: check again", file=sys.stderr)
        raise


def _attempt(settings: Settings, exercise: Exercise) -> Attempt:
    return Attempt(settings, settings.answers.resolve() / exercise.name, exercise.solution)


def _opened(settings: Settings, name: str) -> tuple[Attempt, Exercise]:
    """Returns the named exercise, which later commands then mean, or the one named last, with the learner's files."""
    if name.strip():
        exercise = get_exercise(name)
    else:
        latest = read_progress(settings.answers).latest(read_exercises())
        if latest is None:
            raise TerminalError(
                "no exercise was started yet", "`make learn` lists them, and `make learn N=1` starts one"
            )
        exercise = latest
    attempt = _attempt(settings, exercise)
    if not attempt.folder.is_dir():
        raise TerminalError(
            f"there is no {shown(attempt.folder)}", f"`make learn N={exercise.number}` starts the exercise"
        )
    if name.strip():
        with changed_progress(settings.answers) as progress:
            progress.record(exercise).opened = now()
    return attempt, exercise


def _confirm(force: bool, consequence: str, command: str) -> None:
    if force:
        return
    if not sys.stdin.isatty():
        raise TerminalError(f"confirmation required: {consequence}", f"run `{command} FORCE=1`")
    typer.confirm(f"{consequence[0].upper()}{consequence[1:]}. Continue?", abort=True)
