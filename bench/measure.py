"""Runs one contestant as a process and takes its figures from the kernel."""

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import psutil

from sluice.settings import ROOT

_TICK = os.sysconf("SC_CLK_TCK")
_POLL = 0.02

Spec = TypeVar("Spec")


@dataclass(frozen=True)
class Contestant(Generic[Spec]):
    """One row of a benchmark's table.

    Args:
        name: its key in the results.
        label: what the table calls it.
        share: of the events, above 0 to 1, that it is given: the slow ones would take many minutes for all.
        command: what to run, of what is measured.
        marker: the words in its output at which its start-up is over; None if it has none.
    """

    name: str
    label: str
    share: float
    command: Callable[[Spec], list[str | Path]]
    marker: str | None


@dataclass
class Usage:
    """What a run took. Seconds and CPU-seconds (user and system, with children); bytes for memory."""

    seconds: float
    """From the process's start until all is done."""
    cpu: float
    peak: int
    """VmHWM."""
    start_seconds: float
    """Of these, until it had its partitions or its first records."""
    start_cpu: float
    machine_cpu: float
    """What the whole machine used from start to done."""
    load: float
    """Load average of the last minute when it began."""


def measure(
    command: Sequence[str | Path],
    environment: Mapping[str, str],
    output: Path,
    marker: str | None,
    done: Callable[[], bool] | None,
    limit: float = 900,
) -> Usage:
    """Runs a command to its end, or until ``done`` says so and it has been asked to end.

    Args:
        command: what to run, in the project's folder.
        environment: variables on top of this process's own.
        output: where its output goes.
        marker: the words in its output at which its start-up is over; None if it has none.
        done: asked every fifth of a second; None for a command that ends by itself.
        limit: seconds after which it is killed.

    Raises:
        RuntimeError: it failed, or was not done in time.
    """
    load = os.getloadavg()[0]
    machine = _machine()
    started = time.monotonic()
    start_seconds = start_cpu = 0.0
    peak, now, asked = 0, started, started
    with output.open("w") as file:
        process = subprocess.Popen(
            [str(part) for part in command],
            env={**os.environ, **environment},
            cwd=ROOT,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
        finished: float | None = None
        while True:
            pid, status, used = os.wait4(process.pid, os.WNOHANG)
            now = time.monotonic()
            if pid:
                break
            peak = max(peak, peak_rss(process.pid))
            if marker and not start_seconds and marker in output.read_text(errors="replace"):
                start_seconds, start_cpu = now - started, _cpu(process.pid)
            if done and finished is None and now - asked >= 0.2:
                asked = now
                if done():
                    finished = time.monotonic()
                    machine_end = _machine()
                    process.terminate()
            if now - started > limit:
                process.kill()
            time.sleep(_POLL)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0 or (done and finished is None):
        tail = output.read_text(errors="replace")[-2_000:]
        raise RuntimeError(f"{command} ended with {process.returncode}:\n{tail}")
    if finished is None:
        finished, machine_end = now, _machine()
    cpu = used.ru_utime + used.ru_stime
    return Usage(finished - started, cpu, peak, start_seconds, start_cpu, machine_end - machine, load)


def peak_rss(pid: int) -> int:
    """VmHWM of a process in bytes; 0 once it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)


def _cpu(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(int(field) for field in fields[11:15]) / _TICK


def _machine() -> float:
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.irq + times.softirq)
