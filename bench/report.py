"""What the benchmarks' pages have in common: the machine, figures of a run, and the table of medians."""

import os
import platform
import statistics
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from infra.servers import kafka, minio

Run = dict[str, Any]


def machine() -> dict[str, str]:
    """What it ran on."""
    named = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    model = named[0].partition(":")[2].strip() if named else platform.machine()
    packages = ", ".join(f"{name} {version(name)}" for name in ("confluent-kafka", "pyarrow", "deltalake"))
    return {
        "processor": f"{model}, {os.cpu_count()} cores",
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"Linux {platform.release()}",
        "versions": f"Python {platform.python_version()}, {packages}, Kafka {kafka.VERSION}, MinIO {minio.VERSION}",
    }


def rate(run: Run) -> float:
    """Events per second after start-up."""
    return float(run["events"] / (run["seconds"] - run["start_seconds"]))


def cost(run: Run) -> float:
    """CPU-seconds per million events, start-up included."""
    return float(run["cpu"] / run["events"] * 1e6)


def steady(run: Run) -> float:
    """CPU-seconds per million events after start-up."""
    return float((run["cpu"] - run["start_cpu"]) / run["events"] * 1e6)


def median(runs: list[Run], figure: Callable[[Run], float]) -> float:
    """The median over the rounds."""
    return statistics.median(figure(run) for run in runs)


def whole(run: Run) -> float:
    """Events per second from the process's start."""
    return float(run["events"] / run["seconds"])


def peak(run: Run) -> float:
    """Peak memory in MiB."""
    return float(run["peak"] / 2**20)


def medians(result: dict[str, Any], figures: Sequence[tuple[Callable[[Run], float], str]]) -> list[str]:
    """A line per contestant: its label, its events, and the medians of figures, each with its format."""
    lines = []
    for each in result["contestants"]:
        runs = [run for run in result["runs"] if run["contestant"] == each["name"]]
        shown = [format(median(runs, figure), form) for figure, form in figures]
        lines.append(f"| {each['label']} | {' | '.join([format(runs[0]['events'], ','), *shown])} |")
    return lines
