"""The command that writes a learner's results for a class, and verifies those of others."""

import subprocess
from pathlib import Path
from typing import Annotated

import typer

from cli.exercise_pages import shown
from cli.new_files import write_files
from cli.os_user import os_user
from exercises.catalogue import read_exercises
from exercises.progress import now, read_progress
from exercises.report import Report, differences, read_report, results
from infra.processes.environment import shell_environment
from sluice.errors import TerminalError
from sluice.escaping import escape
from sluice.settings import ROOT, load_settings

_GRADERS = ("exercises", "cli", "sluice")
"""The folders that decide whether an answer passes."""


def register(app: typer.Typer) -> None:
    """Adds the command to the CLI."""
    app.command()(report)


def report(
    name: Annotated[str, typer.Option(help="The learner's name; by default git's user.name.")] = "",
    check: Annotated[str, typer.Option(help="A report.json to verify instead.")] = "",
) -> None:
    """Write your results to report.json and report.html in the answers folder, or verify a report."""
    if check:
        _verify(Path(check))
        return
    settings = load_settings()
    exercises = read_exercises()
    written = Report(
        learner=name.strip() or _git("config", "user.name") or os_user(),
        written=now(),
        revision=_git("rev-parse", "HEAD"),
        modified=[line[3:] for line in _git("status", "--porcelain", "--", *_GRADERS).splitlines()],
        results=results(exercises, read_progress(settings.answers)),
    )
    folder = settings.answers
    write_files(
        {folder / "report.json": written.to_json().encode(), folder / "report.html": written.to_html().encode()}
    )
    print(f"{escape(written.learner)}: {written.points} of {written.possible} points")
    for line in differences(written, folder):
        print(f"{line}: check it again, then write the report again")
    for file in ("report.json", "report.html"):
        print(f"wrote {shown(folder / file)}")


def _verify(path: Path) -> None:
    """Prints what a report says, and whether it and the files beside it are those that the platform has seen."""
    verified, intact = read_report(path)
    points = f"{verified.points} of {verified.possible} points"
    print(f"{escape(verified.learner)}: {points}, written {verified.written:%Y-%m-%d %H:%M} UTC")
    print(f"revision: {escape(verified.revision or 'unknown')}")
    for file in verified.modified:
        print(f"modified: {escape(file)}")
    for result in verified.results:
        for file in result.from_solution:
            print(f"the solution's: {result.name}: {escape(file)}")
    faults = [escape(line) for line in differences(verified, path.parent)]
    if not intact:
        faults.insert(0, "the report was edited after it was written")
    for fault in faults:
        print(f"fault: {fault}")
    if faults:
        raise TerminalError(f"{path} does not agree with itself or with the files beside it", "ask for a new one")
    print("the report is as it was written, and the files beside it are those that passed")


def _git(*arguments: str) -> str:
    """Returns what git prints; nothing if there is no git or no repository."""
    try:
        # The owner of a container's files may be another user.
        command = ["git", "-c", "safe.directory=*", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=shell_environment(), capture_output=True, timeout=30, check=False)
    except OSError:
        return ""
    return done.stdout.decode(errors="replace").rstrip() if done.returncode == 0 else ""
