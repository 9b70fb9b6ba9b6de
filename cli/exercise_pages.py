"""What the commands of the exercises print: formatted and coloured in a terminal, plain lines anywhere else."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import Progress as Steps
from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from exercises.catalogue import STAGES, Exercise, Stage
from exercises.grading.attempt import WrongAnswer
from exercises.progress import Progress
from sluice.settings import ROOT

_PLAIN_WIDTH = 100
_BAR_WIDTH = 40
_HEADINGS: dict[Stage, str] = {
    "ask": "Ask: questions to the data",
    "fix": "Fix: something is broken",
    "extend": "Extend: something is wanted",
    "build": "Build: from an empty file",
}


class _Screen(Console):
    def on_broken_pipe(self) -> None:
        """Leaves the decision to the command: by default, this ends the process."""
        raise BrokenPipeError


def console() -> Console:
    """Returns a console for standard output, which is plain unless that is a terminal."""
    return _Screen(width=None if sys.stdout.isatty() else _PLAIN_WIDTH, highlight=False)


@contextmanager
def until_closed() -> Iterator[None]:
    """Prints as far as it is read: `head` closes the pipe, which is not an error."""
    try:
        yield
    except BrokenPipeError:
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.stdout.fileno())
        os.close(nothing)


@contextmanager
def steps(name: str) -> Iterator[Callable[[str], None]]:
    """Yields a function that shows what a check does now: with the time so far in a terminal, else in a line each."""
    screen = console()
    if not screen.is_terminal:

        def print_step(step: str) -> None:
            with until_closed():
                print(f"checking: {step}")

        yield print_step
        return
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with Steps(*columns, console=screen, transient=True) as shown_steps:
        task = shown_steps.add_task(f"checking {name}", total=None)
        yield lambda step: shown_steps.update(task, description=f"checking {name}: {step}")


def show_markdown(text: str) -> None:
    """Prints a page; its links lead to files, seen from the project's root."""
    text = text.replace("](../../", "](")
    screen = console()
    if screen.is_terminal:
        # Other commands start without it.
        from rich.markdown import Markdown

        screen.print(Markdown(text, hyperlinks=False), "")
    else:
        print(text.rstrip(), end="\n\n")


def show_line(style: str, word: str, text: str) -> None:
    """Prints a word in a colour and a text in one line, which only the terminal wraps."""
    message, separator, hint = text.partition(" Hint: ")
    line = Text.assemble((f"{word}: ", f"bold {style}"), message, (f"{separator}{hint}", "dim"))
    console().print(line, soft_wrap=True)


def show_list(exercises: list[Exercise], progress: Progress) -> None:
    """Prints all exercises by stage, with the learner's points."""
    following = next_exercise(exercises, progress)
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("", "", "exercise", "you learn", "points", "hints"):
        number = name in ("points", "hints")
        table.add_column(name, justify="right" if number else "left", no_wrap=name in ("", "exercise"))
    for stage in STAGES:
        members = [exercise for exercise in exercises if exercise.description.stage == stage]
        if not members:
            continue
        solved = sum(progress.solved(exercise) for exercise in members)
        table.add_row()
        table.add_row("", "", Text(_HEADINGS[stage], "bold"), "", f"{solved} of {len(members)}")
        for exercise in members:
            _add_row(table, exercise, progress, exercise == following)
    screen = console()
    screen.print(table)
    points = sum(progress.points(exercise) for exercise in exercises)
    possible = sum(exercise.description.points for exercise in exercises)
    screen.print(Text(f"\n{points} of {possible} points", "bold"))
    if screen.is_terminal:
        screen.print(ProgressBar(total=possible, completed=points, width=_BAR_WIDTH), "")
    show_next(exercises, progress)


def _add_row(table: Table, exercise: Exercise, progress: Progress, following: bool) -> None:
    record = progress.exercises.get(exercise.name)
    mark, style = ("✓", "green") if progress.solved(exercise) else ("→", "bold cyan") if following else ("", "")
    table.add_row(
        Text(mark, style),
        f"{exercise.number}",
        Text.assemble((exercise.description.title, style), "\n", (exercise.words, "dim")),
        Text(exercise.description.learn, "dim"),
        f"{progress.points(exercise)}/{progress.reachable(exercise)}",
        str(record.hints) if record else "",
    )


def show_result(exercise: Exercise, progress: Progress, wrong: WrongAnswer | None) -> None:
    """Prints the result of a check: what is wrong, or the points."""
    if wrong:
        show_line("red", "not yet", str(wrong))
        return
    title = exercise.description.title
    show_line("green", "solved", f"{title}, {progress.points(exercise)} of {exercise.description.points} points")
    print(f"compare: make solution N={exercise.number}")


def show_next(exercises: list[Exercise], progress: Progress, solved: Exercise | None = None) -> None:
    """Prints how to start the next exercise that is not solved, after one that was solved now."""
    following = next_exercise(exercises, progress, solved)
    if following:
        print(f"next: make learn N={following.number} ({following.description.title})")
    else:
        print("all exercises are solved; `make report` writes a page of it")


def next_exercise(exercises: list[Exercise], progress: Progress, after: Exercise | None = None) -> Exercise | None:
    """Returns the first exercise that is not solved, of those after one if there are any; None if all are solved."""
    unsolved = [exercise for exercise in exercises if not progress.solved(exercise)]
    later = [exercise for exercise in unsolved if after and exercise.number > after.number]
    return next(iter(later or unsolved), None)


def shown(path: Path) -> Path:
    """Returns a path as a learner enters it, in the project's root."""
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
