"""Starts the second warehouse's program in its own environment, and turns its failures into errors."""

import os
import subprocess
from collections import deque
from collections.abc import Callable, Iterator

from sluice.errors import TerminalError, TransientError
from sluice.service.child import stop_child
from sluice.settings import ROOT, Settings, variable
from sluice.settings.spark import SPARK_JAVA_HOME, SPARK_PYTHON

TRANSIENT, TERMINAL = 75, 1
"""Exit codes: of a failure that a retry may end (sysexits' EX_TEMPFAIL), and of any other."""


def is_launched(settings: Settings) -> bool:
    """Returns whether a Spark cluster was ever launched here."""
    return (settings.home / "spark").is_dir()


def run(*arguments: str, settings: Settings, log_line: Callable[[str], None] = print) -> Iterator[str]:
    """Runs one command of ``python -m sluice.lakehouse``, and yields each line of its output as it appears.

    Args:
        arguments: the command and its options.
        settings: with the secrets of the cluster and of the store's user.
        log_line: receives the program's log, line by line.

    Raises:
        TransientError, TerminalError: what the program reported; it is not installed, or it was killed.
    """
    command = [str(SPARK_PYTHON), "-m", "sluice.lakehouse", *arguments]
    try:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=_environment(settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    except OSError as error:
        raise TerminalError(
            f"Spark does not start: {error}", "run `make up ENGINE=spark`, which installs it"
        ) from error
    last: deque[str] = deque(maxlen=1)
    try:
        for line in process.stdout or ():
            text = line.rstrip("\n")
            if text.startswith(OUTPUT):
                yield text.removeprefix(OUTPUT)
            elif text.strip() and not text.startswith(_NOISE):
                last.append(text)
                log_line(text)
        status = process.wait()
    finally:
        # After an exception such as Ctrl-C, it must not continue unattended.
        stop_child(process)
    if status == 0:
        return
    message, _, hint = (last[0] if last else f"exit code {status}").removeprefix("lakehouse: ").partition(". Hint: ")
    kind = TransientError if status == TRANSIENT or status < 0 else TerminalError
    raise kind(f"Spark: {message}", hint or "see the lines above")


OUTPUT = "> "
"""What every line of a command's output begins with: Spark's own log is in between."""
_NOISE = ("WARNING: Using incubator modules", "Setting default log level to", "To adjust logging level use")
"""What Java and PySpark print at every start."""


def _environment(settings: Settings) -> dict[str, str]:
    secrets = {variable(name): settings.secret(name) for name in ("spark_secret", "lakehouse_password")}
    return {**os.environ, **secrets, "JAVA_HOME": str(SPARK_JAVA_HOME)}
