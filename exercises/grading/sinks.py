"""Sink processes that serve one scratch stream: started, asked what they read, stopped or killed."""

import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from sluice.errors import TransientError
from sluice.settings import LOOPBACK, ROOT

_LAG = "sluice_sink_lag_offsets"
"""The metric that has a value for each partition that a sink reads."""
_POLL_SECONDS = 0.1


def wait_until(condition: Callable[[], object], description: str, seconds: float = 60.0) -> None:
    """Returns as soon as a condition is true.

    Args:
        condition: called ten times a second.
        description: what is waited for, for the error.
        seconds: the time limit.

    Raises:
        TransientError: the condition was not true in time.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TransientError(f"timed out after {seconds:.0f} s: {description}", "is the machine busy? try again")
        time.sleep(_POLL_SECONDS)


class Sink:
    """A sink process of its own: ``python -m sluice.sink`` on a free port."""

    def __init__(self, environment: Mapping[str, str], log: Path) -> None:
        """Starts the sink.

        Args:
            environment: the variables of the process, with the settings of the stream's servers.
            log: the file to which its output is appended.
        """
        self.port = _free_port()
        self.log = log
        self.killed_at: float | None = None
        """When it was killed while it was running, in seconds since 1970."""
        self.readings: list[tuple[float, set[int]]] = []
        """What ``partitions`` has returned, and when, in seconds since 1970."""
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                (sys.executable, "-m", "sluice.sink"),
                env={**environment, "SLUICE_SINK_PORT": str(self.port)},
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    @property
    def is_running(self) -> bool:
        """Whether the process has not ended."""
        return self.process.poll() is None

    def is_healthy(self) -> bool:
        """Returns whether the sink answers that it is healthy."""
        return self._get("/health") is not None

    def partitions(self) -> set[int]:
        """Returns the partitions that the sink reads now, as of its last second; none before it answers."""
        families = text_string_to_metric_families(self._get("/metrics") or "")
        found = {
            int(sample.labels["partition"]) for family in families if family.name == _LAG for sample in family.samples
        }
        self.readings.append((time.time(), found))
        return found

    def stop(self) -> None:
        """Stops the sink as its supervisor does: it commits what it has read, and leaves its group."""
        if self.is_running:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """Ends the process with SIGKILL: it can do nothing more, and nobody in its group knows."""
        if self.is_running:
            self.killed_at = time.time()
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def last_line(self) -> str:
        """Returns the last line of the log, for errors."""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it has written nothing"

    def _get(self, path: str) -> str | None:
        """Returns the body of a response with status 200, otherwise None."""
        try:
            with urllib.request.urlopen(f"http://{LOOPBACK}:{self.port}{path}", timeout=5) as response:
                return str(response.read().decode())
        except OSError:
            return None


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        return int(listener.getsockname()[1])
