"""``python -m bench.backfill``: loads 2013 in stages into a temporary platform and times backfills."""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil

from bench.backfill.report import report
from bench.measure import machine_cpu
from bench.report import machine
from infra.config.ports import free_ports
from infra.config.settings_file import PORTS, ensure_settings_file
from infra.processes import processes
from sluice.contracts import load_contracts
from sluice.settings import ROOT, Settings
from sluice.warehouse import connect

LENGTHS = (1, 7, 30, 90, 366)
"""Numbers of dates of the backfills with the whole year loaded."""
STAGES = {1: date(2013, 1, 31), 3: date(2013, 3, 31), 12: date(2013, 12, 31)}
"""The stages: the number of months loaded, and the last local date (New York)."""
HISTORY = load_contracts(ROOT / "contracts")["flights.departed"].history
assert HISTORY is not None
PROBE = 7
"""Number of dates of the backfill at the end of each stage."""
IDLE_SECONDS = 30
PLOT = ROOT / ".venv-bench" / "bin" / "python"


class Platform:
    """A platform in a folder of its own, operated through the command line."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "settings.env"
        self.home = folder / "home"
        ensure_settings_file(self.file, {"home": self.home, **dict(zip(PORTS, free_ports(len(PORTS)), strict=True))})
        self.settings = Settings(_env_file=self.file)  # type: ignore[call-arg]

    def sluice(self, *arguments: str) -> None:
        """Runs a command; its output goes to that of this process.

        Raises:
            CalledProcessError: the command failed.
        """
        environment = {**os.environ, "SLUICE_ENV_FILE": str(self.file)}
        subprocess.run([sys.executable, "-m", "cli", *arguments], env=environment, cwd=ROOT, check=True)

    def cpu(self) -> float:
        """Returns the CPU-seconds of all its processes so far, their exited children included."""
        return sum(sum(process.cpu_times()[:4]) for process, _ in processes.owned(self.home))

    def timed(self, *commands: tuple[str, ...]) -> dict[str, float]:
        """Runs commands in sequence.

        Returns:
            Their seconds, the CPU-seconds of commands and servers, and the CPU use of other processes in cores.
        """
        started, cpu, machine_start = time.monotonic(), self.cpu() + _children_cpu(), machine_cpu()
        for command in commands:
            self.sluice(*command)
        seconds, used = time.monotonic() - started, self.cpu() + _children_cpu() - cpu
        return {"seconds": seconds, "cpu": used, "others": max(0.0, (machine_cpu() - machine_start - used) / seconds)}


@contextmanager
def platform() -> Iterator[Platform]:
    """Starts a platform with empty topics and no producer, and stops it at the end."""
    with TemporaryDirectory(prefix="sluice-bench-", ignore_cleanup_errors=True) as folder:
        started = Platform(Path(folder))
        try:
            started.sluice("up", "--months", "0", "--no-live")
            yield started
        finally:
            started.sluice("down")


def main() -> int:
    """Runs the benchmark; returns exit code 0 if every backfill was verified and the marts are complete."""
    parser = argparse.ArgumentParser(prog="bench.backfill", description="Measure backfills by dates and history.")
    parser.add_argument(
        "--out",
        type=Path,
        default=ROOT / "bench" / "results" / "backfill",
        help="path of the results, without a suffix",
    )
    parser.add_argument("--only", choices=("history", "year"), help="run only one of the two parts")
    options = parser.parse_args()
    path = options.out.with_suffix(".json")
    result: dict[str, Any] = json.loads(path.read_text()) if options.only and path.exists() else {}
    result["machine"] = machine()
    if options.only != "year":
        with platform() as running:
            result |= history(running)
    if options.only != "history":
        with platform() as running:
            result["year"] = year(running)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
    if {"lengths", "year"} <= result.keys():
        options.out.with_suffix(".md").write_text(report(result, f"{options.out.name}.svg"))
        print(options.out.with_suffix(".md").read_text())
        if PLOT.exists():
            subprocess.run(
                [PLOT, "-m", "bench.backfill.plot", path, options.out.with_suffix(".svg")], check=True, cwd=ROOT
            )
    return 0


def history(running: Platform) -> dict[str, Any]:
    """Times a backfill after each stage and, with the whole year loaded, one of each length."""
    stages, first = [], HISTORY.first
    for months, last in STAGES.items():
        running.sluice("replay", "--from", str(first), "--to", str(last))
        running.sluice("load")
        running.sluice("transform")
        stages.append({"months": months, "dates": PROBE, **backfill(running, PROBE)})
        first = last + timedelta(days=1)
    cpu, started = running.cpu(), time.monotonic()
    time.sleep(IDLE_SECONDS)
    idle = (running.cpu() - cpu) / (time.monotonic() - started)
    return {
        "stages": stages,
        "idle": idle,
        "lengths": [{"dates": dates, **backfill(running, dates)} for dates in LENGTHS],
    }


def backfill(running: Platform, dates: int) -> dict[str, float]:
    """Times one backfill from the first event date on."""
    first = HISTORY.first
    last = first + timedelta(days=dates - 1)
    assert last <= HISTORY.last
    return running.timed(("backfill", "--from", str(first), "--to", str(last)))


def year(running: Platform) -> dict[str, Any]:
    """Times the whole year from empty topics to the marts, and checks the number of flights in the marts."""
    replay = ("replay", "--from", str(HISTORY.first), "--to", str(STAGES[12]))
    parts = {command[0]: running.timed(command) for command in (replay, ("load",), ("transform",))}
    with connect(running.settings, "reader") as reader:
        row = reader.execute("select sum(flights), sum(arrived) from marts.agg_carrier_daily").fetchone()
    flights, arrived = (int(str(total)) for total in row or (0, 0))
    if (flights, arrived) != (336_776, 327_346):
        raise RuntimeError(f"the marts are incomplete: {flights:,} flights, {arrived:,} arrived")
    return {"flights": flights, "seconds": sum(part["seconds"] for part in parts.values()), "parts": parts}


def _children_cpu() -> float:
    times = psutil.Process().cpu_times()
    return float(times.children_user + times.children_system)


if __name__ == "__main__":
    sys.exit(main())
