"""Runs the commands of installations and first steps: their output goes to a log, their failure becomes one line."""

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from sluice.errors import SluiceError


class InterruptedRunError(SluiceError):
    """Another step has failed or the user has stopped the program, so this command was ended too."""


class LoggedError(SluiceError):
    """A fault whose details are at the end of a log file."""

    def __init__(self, what: str, log: Path) -> None:
        super().__init__(what, f"its log {log} says more")
        self.log = log


def last_lines(log: Path, count: int = 15) -> str:
    """The last lines of a log file, each indented; empty when there is no such file."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 16384))
        lines = file.read().decode(errors="replace").splitlines()
    return "\n".join(f"    {line}" for line in lines[-count:])


def run_logged(
    argv: Sequence[str | Path],
    log: Path,
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    stdin: str = "",
    cancelled: threading.Event | None = None,
) -> None:
    """Runs a command to its end, appending its output to ``log``.

    The command gets a session of its own, so that it has no terminal to ask on and can be ended with its children.

    Raises:
        LoggedError: it failed.
        InterruptedRunError: ``cancelled`` was set meanwhile; the command and its children were ended.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        try:
            process = subprocess.Popen(
                [str(part) for part in argv],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environment) if environment is not None else None,
                cwd=folder,
                start_new_session=True,
            )
        except OSError as error:
            raise SluiceError(f"cannot run {argv[0]}", error.strerror or str(error)) from None
        assert process.stdin is not None
        try:
            process.stdin.write(stdin.encode())
            process.stdin.close()
        except BrokenPipeError:
            # It ended without reading; its exit code says whether that is a fault.
            pass
        _wait(process, cancelled)
    if process.returncode != 0:
        command = " ".join(str(part) for part in argv[:6])
        raise LoggedError(f"`{command}` failed with exit code {process.returncode}", log)


def _wait(process: subprocess.Popen[bytes], cancelled: threading.Event | None) -> None:
    try:
        while process.poll() is None:
            if cancelled is not None and cancelled.wait(0.05):
                raise InterruptedRunError("interrupted", "start it again; what was finished is kept")
            if cancelled is None:
                process.wait()
    except BaseException:
        _end_session(process)
        raise


def _end_session(process: subprocess.Popen[bytes]) -> None:
    # Children may take longer than their parent, or ignore the request: the second signal is for the whole session.
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=5)


def follow(logs: Sequence[Path], lines: int, *, forever: bool) -> None:
    """Prints the last lines of logs, each under its name, and goes on with what comes if ``forever``."""
    options = ["-n", str(lines), *(["-F"] if forever else [])]
    subprocess.run(["tail", *options, "-v", "--", *map(str, logs)], check=True)
