"""Runs installation and provisioning commands: output goes to a log file, a failure becomes a one-line error."""

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from sluice.errors import SluiceError
from sluice.escaping import escape_bytes


class InterruptedRunError(SluiceError):
    """The command was ended because another step failed or the user interrupted the program."""


class LoggedError(SluiceError):
    """An error whose details are at the end of a log file."""

    def __init__(self, message: str, log: Path) -> None:
        super().__init__(message, f"see {log}")
        self.log = log


def last_lines(log: Path, count: int = 15) -> str:
    """Returns the last lines of a log file, indented and printable; empty if the file does not exist."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 16384))
        lines = file.read().splitlines()
    return "\n".join(f"    {_printable(line)}" for line in lines[-count:])


def run_logged(
    argv: Sequence[str | Path],
    log: Path,
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    stdin: str = "",
    cancelled: threading.Event | None = None,
) -> None:
    """Runs a command to completion, appending its output to ``log``.

    The command runs in a session of its own, so it has no terminal to prompt on and is ended together with its
    children.

    Raises:
        SluiceError: the program cannot be started.
        LoggedError: the command failed.
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
            raise SluiceError(
                f"cannot run {argv[0]}: {error.strerror or error}", "run `make doctor` to check this machine"
            ) from None
        assert process.stdin is not None
        try:
            process.stdin.write(stdin.encode())
            process.stdin.close()
        except BrokenPipeError:
            # The command ended without reading; its exit code says whether that is a failure.
            pass
        _wait(process, cancelled)
    if process.returncode != 0:
        command = " ".join(str(part) for part in argv[:6])
        raise LoggedError(f"`{command}` failed with exit code {process.returncode}", log)


def _wait(process: subprocess.Popen[bytes], cancelled: threading.Event | None) -> None:
    try:
        while process.poll() is None:
            if cancelled is not None and cancelled.wait(0.05):
                raise InterruptedRunError("interrupted", "run the command again; completed steps are kept")
            if cancelled is None:
                process.wait()
    except BaseException:
        _end_session(process)
        raise


def _end_session(process: subprocess.Popen[bytes]) -> None:
    # Children may outlive their parent or ignore SIGTERM: SIGKILL goes to the whole session as well.
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=5)


def follow(logs: Sequence[Path], lines: int, *, forever: bool) -> None:
    """Prints the last lines of each log under its name; with ``forever``, keeps printing new lines."""
    options = ["-n", str(lines), *(["-F"] if forever else [])]
    with subprocess.Popen(["tail", *options, "-v", "--", *map(str, logs)], stdout=subprocess.PIPE) as tail:
        assert tail.stdout is not None
        for line in tail.stdout:
            print(_printable(line.rstrip(b"\r\n")), flush=True)


def _printable(line: bytes) -> str:
    # Servers log values that they reject. Stack traces are indented with tabs.
    return escape_bytes(line.expandtabs())
