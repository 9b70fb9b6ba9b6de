"""Runs a learner's Python program in a process of its own, which ends with everything that it has started."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from exercises.grading.attempt import WrongAnswer
from sluice.settings import ROOT

_FRAME = re.compile(r'^ +File "(?P<file>[^"]+)", line (?P<line>\d+)', re.MULTILINE)
# A syntax error of the program itself comes without the first of these lines.
_ERROR = re.compile(r"Traceback \(most recent call last\):\n(?: .*\n)*(?P<error>\S.*)|^(?P<syntax>\w+Error: .*)", re.M)
_MAX_ERROR = 300
"""Characters of an error that are shown."""


class Program:
    """A running Python program. Made by ``running``."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path, folder: Path) -> None:
        self._process = process
        self._log = log
        self._folder = folder

    @property
    def is_running(self) -> bool:
        """Whether the process has not ended."""
        return self._process.poll() is None

    def wait(self, seconds: float) -> bool:
        """Returns whether the process has ended within the time."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        return not self.is_running

    def kill(self) -> int:
        """Kills the process and its children; returns its exit code, which is -9 if it was still running."""
        # The children are in the process group even if the process itself has ended. There may be none.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        return self._process.wait()

    def error(self) -> str:
        """Returns the last error that the program has printed, in one line, with its place in the learner's code."""
        return last_error(self._log.read_text(errors="replace"), self._folder)


@contextmanager
def running(
    arguments: Sequence[str],
    folder: Path,
    log: Path,
    environment: Mapping[str, str] | None = None,
    descriptors: Sequence[int] = (),
) -> Iterator[Program]:
    """Yields a running Python program, and kills it at the end, with its children.

    Args:
        arguments: the program and its arguments.
        folder: the working folder, with the learner's files.
        log: the file to which its output is appended.
        environment: its variables; by default those of this process without the platform's settings.
        descriptors: open files that it inherits.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            env=_without_settings() if environment is None else environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            pass_fds=descriptors,
        )
    program = Program(process, log, folder)
    try:
        yield program
    finally:
        program.kill()


def run_program(
    arguments: Sequence[str],
    folder: Path,
    result: Path,
    seconds: float,
    name: str,
    environment: Mapping[str, str] | None = None,
) -> Any:
    """Runs a Python program to its end; returns the JSON that it has written to a file.

    Args:
        arguments: the program and its arguments.
        folder: the working folder, with the learner's files.
        result: the file.
        seconds: the time limit.
        name: the learner's file, for errors.
        environment: as ``running``.

    Raises:
        WrongAnswer: the program fails, or takes too long.
    """
    with running(arguments, folder, result.with_suffix(".log"), environment) as program:
        if not program.wait(seconds):
            raise WrongAnswer(
                f"{name} runs for more than {seconds:.0f} seconds", "look for a loop or a wait without an end"
            )
        if program.kill() or not result.exists():
            raise WrongAnswer(f"{name} fails: {program.error()}", "run it yourself to see the traceback")
    return json.loads(result.read_text())


def last_error(output: str, folder: Path) -> str:
    """Returns the last error in a program's output, in one line.

    Args:
        output: what the program has printed, perhaps with tracebacks.
        folder: of the learner's files: the last line of theirs is named before the error.
    """
    errors = list(_ERROR.finditer(output))
    if not errors:
        lines = output.strip().splitlines()
        return lines[-1][:_MAX_ERROR] if lines else "it ends without any output"
    last = errors[-1]
    frames = [match for match in _FRAME.finditer(output[: last.end()]) if Path(match["file"]).is_relative_to(folder)]
    where = f"{Path(frames[-1]['file']).relative_to(folder)}, line {frames[-1]['line']}: " if frames else ""
    return f"{where}{last['error'] or last['syntax']}"[:_MAX_ERROR]


def _without_settings() -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SLUICE_")}
    return inherited | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
