"""Finds, measures and ends the processes of a platform, whoever their parent is now."""

import os
from collections.abc import Iterable
from pathlib import Path

import psutil

HOME = "SLUICE_HOME"
SERVICE = "SLUICE_SERVICE"
"""Set together for every process that the platform starts, and by nothing else: how leftovers are known."""


def service_of(process: psutil.Process, home: Path) -> str | None:
    """The service that a process belongs to, of the platform in ``home``; None for any other process."""
    try:
        # Postgres' backends write their title over their environment; their working folder tells them.
        if process.name().startswith("postgres") and Path(process.cwd()) == home / "postgres":
            return "postgres"
        environment = process.environ()
    except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess, OSError):
        return None
    return environment.get(SERVICE) if environment.get(HOME) == str(home) else None


def owned(home: Path) -> list[tuple[psutil.Process, str]]:
    """Every process of the platform in ``home`` with its service's name, but for this one and its parents."""
    here = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found = ((process, service_of(process, home)) for process in psutil.process_iter() if process.pid not in here)
    return [(process, service) for process, service in found if service is not None]


def end(processes: Iterable[psutil.Process], seconds: float) -> None:
    """Ends processes: with SIGTERM, and those that are left after ``seconds`` with SIGKILL."""
    left = list(processes)
    for process in left:
        _signal(process, kill=False)
    _, left = psutil.wait_procs(left, timeout=seconds)
    for process in left:
        _signal(process, kill=True)
    psutil.wait_procs(left, timeout=10)


def _signal(process: psutil.Process, *, kill: bool) -> None:
    try:
        process.kill() if kill else process.terminate()
    except psutil.NoSuchProcess:
        # It ended by itself meanwhile, which is what was wanted.
        return


def memory(pids: Iterable[int]) -> int:
    """Bytes of memory that processes hold, pages they share counted once (PSS, or RSS where that may not be read)."""
    total = 0
    for pid in pids:
        try:
            total += _proportional(pid)
        except (psutil.NoSuchProcess, psutil.AccessDenied, FileNotFoundError, ProcessLookupError):
            continue
    return total


def _proportional(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except PermissionError:
        pass
    return int(psutil.Process(pid).memory_info().rss)
