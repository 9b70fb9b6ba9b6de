"""Runs a contestant as a process and reads its resource usage from the kernel."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Literal, TextIO, TypeVar

import psutil

from sluice.settings import ROOT

_TICK = os.sysconf("SC_CLK_TCK")
_POLL = 0.02

Spec = TypeVar("Spec")


@dataclass(frozen=True)
class Contestant(Generic[Spec]):
    """A program to measure: one row of a benchmark's table.

    Args:
        name: its key in the results.
        label: its name in the table.
        share: the share of the events that it processes, above 0 and up to 1; slow contestants would take many minutes
            for all events.
        command: returns the command line to run.
        marker: the text in its output that marks the end of its start-up; None if there is none.
    """

    name: str
    label: str
    share: float
    command: Callable[[Spec], list[str | Path]]
    marker: str | None


@dataclass
class Usage:
    """The resources that a run used: seconds, CPU-seconds (user and system, children included) and bytes of memory."""

    seconds: float
    """From the start of the process until all is done."""
    cpu: float
    peak: int
    """Peak resident memory (VmHWM)."""
    start_seconds: float
    """The part of ``seconds`` until the process had its partitions or its first records."""
    start_cpu: float
    machine_cpu: float
    """CPU-seconds of the whole machine from start to done."""
    load: float
    """One-minute load average at the start."""


def measure(
    command: Sequence[str | Path],
    environment: Mapping[str, str],
    output: Path,
    marker: str | None,
    done: Callable[[], bool] | None,
    timeout: float = 900,
) -> Usage:
    """Runs a command until it exits, or until ``done`` returns True and the command has been terminated.

    Args:
        command: the command line, run in the project's folder.
        environment: variables added to those of this process, of which Python's own are left out.
        output: the file for the command's output.
        marker: the text in the output that marks the end of the start-up; None if there is none.
        done: called every 0.2 seconds; None for a command that exits by itself.
        timeout: seconds after which the process is killed.

    Raises:
        RuntimeError: the command failed or timed out.
    """
    load = os.getloadavg()[0]
    machine_start = machine_cpu()
    started = time.monotonic()
    start_seconds = start_cpu = 0.0
    peak, now, checked = 0, started, started
    with output.open("w") as file:
        process = start(command, environment, file)
        finished: float | None = None
        while True:
            pid, status, used = os.wait4(process.pid, os.WNOHANG)
            now = time.monotonic()
            if pid:
                break
            peak = max(peak, peak_rss(process.pid))
            if marker and not start_seconds and marker in output.read_text(errors="replace"):
                start_seconds, start_cpu = now - started, _cpu(process.pid)
            if done and finished is None and now - checked >= 0.2:
                checked = now
                if done():
                    finished = time.monotonic()
                    machine_end = machine_cpu()
                    process.terminate()
            if now - started > timeout:
                process.kill()
            time.sleep(_POLL)
    process.returncode = os.waitstatus_to_exitcode(status)
    # Java exits with 143 if it is terminated.
    if process.returncode not in ((0,) if done is None else (0, 128 + signal.SIGTERM)) or (done and finished is None):
        tail = output.read_text(errors="replace")[-2_000:]
        raise RuntimeError(f"{command} exited with {process.returncode}:\n{tail}")
    if finished is None:
        finished, machine_end = now, machine_cpu()
    cpu = used.ru_utime + used.ru_stime
    return Usage(finished - started, cpu, peak, start_seconds, start_cpu, machine_end - machine_start, load)


def start(command: Sequence[str | Path], environment: Mapping[str, str], output: TextIO) -> "subprocess.Popen[bytes]":
    """Starts a command in the project's folder, with variables added to those of this process.

    Python's own variables are left out: with PYTHONDONTWRITEBYTECODE, each run would compile its modules again.
    """
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.Popen(
        [str(part) for part in command],
        env={**own, **environment},
        cwd=ROOT,
        stdout=output,
        stderr=subprocess.STDOUT,
    )


def peak_rss(pid: int | Literal["self"]) -> int:
    """Returns the peak resident memory (VmHWM) of a process in bytes; 0 if it has exited."""
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


def machine_cpu() -> float:
    """Returns the CPU-seconds that all processes of the machine have used so far."""
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.irq + times.softirq)
