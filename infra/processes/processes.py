"""Finds, measures and terminates the processes of a platform, regardless of their parent."""

import os
from collections.abc import Iterable
from pathlib import Path

import psutil

HOME = "SLUICE_HOME"
SERVICE = "SLUICE_SERVICE"
"""Both are set for every process that the platform starts, and by nothing else: they identify leftover processes."""


def service_of(process: psutil.Process, home: Path) -> str | None:
    """Returns the name of the process's service in the platform in ``home``; None for any other process."""
    try:
        # Postgres backends overwrite their environment with their title; their working directory identifies them.
        if process.name().startswith("postgres") and Path(process.cwd()) == home / "postgres":
            return "postgres"
        environment = process.environ()
    except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess, OSError):
        return None
    return environment.get(SERVICE) if environment.get(HOME) == str(home) else None


def owned(home: Path) -> list[tuple[psutil.Process, str]]:
    """Returns the platform's processes with their services' names, without this process and its parents."""
    excluded = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    candidates = (process for process in psutil.process_iter() if process.pid not in excluded)
    services = ((process, service_of(process, home)) for process in candidates)
    return [(process, service) for process, service in services if service is not None]


def terminate(processes: Iterable[psutil.Process], seconds: float) -> None:
    """Terminates processes with SIGTERM, and those still alive after ``seconds`` with SIGKILL."""
    alive = list(processes)
    for process in alive:
        _signal(process, kill=False)
    _, alive = psutil.wait_procs(alive, timeout=seconds)
    for process in alive:
        _signal(process, kill=True)
    psutil.wait_procs(alive, timeout=10)


def _signal(process: psutil.Process, *, kill: bool) -> None:
    try:
        process.kill() if kill else process.terminate()
    except psutil.NoSuchProcess:
        # Already gone.
        return


def memory(pids: Iterable[int]) -> int:
    """Returns the memory of processes in bytes, shared pages counted once (PSS; RSS where PSS is not readable)."""
    total = 0
    for pid in pids:
        try:
            total += _proportional_set_size(pid)
        except (psutil.NoSuchProcess, psutil.AccessDenied, FileNotFoundError, ProcessLookupError):
            continue
    return total


def _proportional_set_size(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except PermissionError:
        pass
    return int(psutil.Process(pid).memory_info().rss)
