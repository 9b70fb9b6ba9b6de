"""``python -m bench.backfill``: a platform of its own takes 2013 in stages; backfills are timed."""

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
from bench.report import machine
from infra.config.ports import free_ports
from infra.config.settings_file import PORTS, ensure_environment
from infra.processes import processes
from sluice.orchestration.history import FIRST_EVENT_DATE, LAST_EVENT_DATE
from sluice.settings import ROOT, Settings
from sluice.warehouse import connect

LENGTHS = (1, 7, 30, 90, 366)
"""Dates of the backfills with the whole year loaded."""
STAGES = {1: date(2013, 1, 31), 3: date(2013, 3, 31), 12: date(2013, 12, 31)}
"""Months that are loaded, and their last date of New York."""
PROBE = 7
"""Dates of the backfill that each stage ends with."""
IDLE_SECONDS = 30
PLOT = ROOT / ".venv-bench" / "bin" / "python"


class Platform:
    """A platform in a folder of its own, through the same commands as a person's."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "settings.env"
        self.home = folder / "home"
        ensure_environment(self.file, {"home": self.home, **dict(zip(PORTS, free_ports(len(PORTS)), strict=True))})
        self.settings = Settings(_env_file=self.file)  # type: ignore[call-arg]

    def sluice(self, *arguments: str) -> None:
        """Runs a command; what it says goes to this one's output.

        Raises:
            CalledProcessError: it failed.
        """
        environment = {**os.environ, "SLUICE_ENV_FILE": str(self.file)}
        subprocess.run([sys.executable, "-m", "cli", *arguments], env=environment, cwd=ROOT, check=True)

    def cpu(self) -> float:
        """CPU-seconds of all its processes so far, with those that have ended below them."""
        return sum(sum(process.cpu_times()[:4]) for process, _ in processes.owned(self.home))

    def timed(self, *commands: tuple[str, ...]) -> dict[str, float]:
        """Seconds and CPU-seconds of some commands in a row, the servers' and the commands' own; others' in cores."""
        began, cpu, machine_cpu = time.monotonic(), self.cpu() + _children(), _machine()
        for command in commands:
            self.sluice(*command)
        seconds, used = time.monotonic() - began, self.cpu() + _children() - cpu
        return {"seconds": seconds, "cpu": used, "others": max(0.0, (_machine() - machine_cpu - used) / seconds)}


@contextmanager
def platform() -> Iterator[Platform]:
    """A running one with empty topics, and nothing that produces."""
    with TemporaryDirectory(prefix="sluice-bench-", ignore_cleanup_errors=True) as folder:
        made = Platform(Path(folder))
        try:
            made.sluice("up", "--months", "0", "--no-live")
            yield made
        finally:
            made.sluice("down")


def main() -> int:
    """Runs the benchmark; exit code 0 when every backfill's proof held and the marts show the year."""
    parser = argparse.ArgumentParser(prog="bench.backfill", description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results" / "backfill")
    parser.add_argument("--only", choices=("history", "year"), help="one of its two platforms")
    chosen = parser.parse_args()
    path = chosen.out.with_suffix(".json")
    result: dict[str, Any] = json.loads(path.read_text()) if chosen.only and path.exists() else {}
    result["machine"] = machine()
    if chosen.only != "year":
        with platform() as running:
            result |= history(running)
    if chosen.only != "history":
        with platform() as running:
            result["year"] = year(running)
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
    if {"lengths", "year"} <= result.keys():
        chosen.out.with_suffix(".md").write_text(report(result, f"{chosen.out.name}.svg"))
        print(chosen.out.with_suffix(".md").read_text())
        if PLOT.exists():
            subprocess.run(
                [PLOT, "-m", "bench.backfill.plot", path, chosen.out.with_suffix(".svg")], check=True, cwd=ROOT
            )
    return 0


def history(running: Platform) -> dict[str, Any]:
    """A backfill after each stage; with the whole year loaded, one of each length."""
    stages, first = [], FIRST_EVENT_DATE
    for months, last in STAGES.items():
        running.sluice("replay", "--from", str(first), "--to", str(last))
        running.sluice("load")
        running.sluice("transform")
        stages.append({"months": months, "dates": PROBE, **backfill(running, PROBE)})
        first = last + timedelta(days=1)
    before, began = running.cpu(), time.monotonic()
    time.sleep(IDLE_SECONDS)
    idle = (running.cpu() - before) / (time.monotonic() - began)
    return {
        "stages": stages,
        "idle": idle,
        "lengths": [{"dates": dates, **backfill(running, dates)} for dates in LENGTHS],
    }


def backfill(running: Platform, dates: int) -> dict[str, float]:
    """One backfill from the first event date on."""
    last = FIRST_EVENT_DATE + timedelta(days=dates - 1)
    assert last <= LAST_EVENT_DATE
    return running.timed(("backfill", "--from", str(FIRST_EVENT_DATE), "--to", str(last)))


def year(running: Platform) -> dict[str, Any]:
    """The year from empty topics to the marts, and the flights that these show."""
    replay = ("replay", "--from", str(FIRST_EVENT_DATE), "--to", str(STAGES[12]))
    parts = {command[0]: running.timed(command) for command in (replay, ("load",), ("transform",))}
    with connect(running.settings, "reader") as reader:
        row = reader.execute("select sum(flights), sum(arrived) from marts.agg_carrier_daily").fetchone()
    flights, arrived = (int(str(each)) for each in row or (0, 0))
    if (flights, arrived) != (336_776, 327_346):
        raise RuntimeError(f"the marts show {flights:,} flights, {arrived:,} of them arrived")
    return {"flights": flights, "seconds": sum(part["seconds"] for part in parts.values()), "parts": parts}


def _children() -> float:
    times = psutil.Process().cpu_times()
    return float(times.children_user + times.children_system)


def _machine() -> float:
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.irq + times.softirq)


if __name__ == "__main__":
    sys.exit(main())
