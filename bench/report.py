"""The common parts of the benchmarks' reports: the machine, the figures of a run, and the table of medians."""

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
    """Returns the description of the machine: processor, memory, system and versions."""
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    model = models[0].partition(":")[2].strip() if models else platform.machine()
    packages = ", ".join(f"{name} {version(name)}" for name in ("confluent-kafka", "pyarrow", "deltalake"))
    return {
        "processor": f"{model}, {os.cpu_count()} cores",
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"Linux {platform.release()}",
        "versions": f"Python {platform.python_version()}, {packages}, Kafka {kafka.VERSION}, MinIO {minio.VERSION}",
    }


def steady_rate(run: Run) -> float:
    """Returns the events per second after start-up."""
    return float(run["events"] / (run["seconds"] - run["start_seconds"]))


def overall_cpu(run: Run) -> float:
    """Returns the CPU-seconds per million events, start-up included."""
    return float(run["cpu"] / run["events"] * 1e6)


def steady_cpu(run: Run) -> float:
    """Returns the CPU-seconds per million events after start-up."""
    return float((run["cpu"] - run["start_cpu"]) / run["events"] * 1e6)


def median(runs: list[Run], figure: Callable[[Run], float]) -> float:
    """Returns the median of a figure over the rounds."""
    return statistics.median(figure(run) for run in runs)


def overall_rate(run: Run) -> float:
    """Returns the events per second, start-up included."""
    return float(run["events"] / run["seconds"])


def peak_mib(run: Run) -> float:
    """Returns the peak memory in MiB."""
    return float(run["peak"] / 2**20)


def medians(result: dict[str, Any], figures: Sequence[tuple[Callable[[Run], float], str]]) -> list[str]:
    """Returns a table row per contestant: label, events, and the median of each figure in its format."""
    lines = []
    for contestant in result["contestants"]:
        runs = [run for run in result["runs"] if run["contestant"] == contestant["name"]]
        cells = [contestant["label"], format(runs[0]["events"], ",")]
        cells += [format(median(runs, figure), form) for figure, form in figures]
        lines.append(f"| {' | '.join(cells)} |")
    return lines
