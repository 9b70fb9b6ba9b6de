"""The results as a page: a table of medians, every run, and the machine."""

import os
import platform
import statistics
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from sluice.runtime import kafka, minio

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


def report(result: dict[str, Any], plot: str) -> str:
    """The page in Markdown."""
    order = "date after date" if result["ordered"] else "each commit touching all of them"
    lines = [
        "# The sink's cost",
        "",
        f"{result['events']:,} JSON events of {result['bytes'] / result['events']:.0f} bytes in {result['partitions']} "
        f"partitions, LZ4, over {result['dates']} event dates, {order}. One Kafka broker and one MinIO on the same "
        f"machine; each contestant alone in a process, in turn; medians of {result['rounds']} rounds. Written by "
        "`make bench-sink`.",
        "",
        "| | events | events/s | events/s, whole run | CPU-s per million | CPU-s per million, whole run | peak RSS, "
        "MiB | data objects | lake, MB |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for each in result["contestants"]:
        runs = [run for run in result["runs"] if run["contestant"] == each["name"]]
        figures = [
            f"{runs[0]['events']:,}",
            f"{median(runs, rate):,.0f}",
            f"{median(runs, lambda run: run['events'] / run['seconds']):,.0f}",
            f"{median(runs, steady):.2f}",
            f"{median(runs, cost):.2f}",
            f"{median(runs, lambda run: run['peak'] / 2**20):,.0f}",
            f"{median(runs, lambda run: run['objects']):,.0f}",
            f"{median(runs, lambda run: run['bytes'] / 1e6):,.0f}",
        ]
        lines.append(f"| {each['label']} | {' | '.join(figures)} |")
    lines += [
        "",
        f"![the table as a plot]({plot})",
        "",
        "*Whole run* is from the start of the process until every record is where it belongs; the columns before leave "
        "out its start-up: until it says that it has partitions (the sink), reads (quixstreams) or has its first "
        "records (the others). Kafka's own tool has no such sign. CPU is the process's user and system time with its "
        "children's, the end of the process included; the servers' is not in it. The sink is told to commit a record "
        "after two seconds at the latest, and that wait at the end counts as its time; everybody else knows where the "
        "input ends. Rows with fewer events read a part of the input, because all of it would take many minutes; "
        "rates are of that part, nothing is scaled.",
        "",
        *(f"- {name}: {value}" for name, value in result["machine"].items()),
        "",
        "## Every run",
        "",
        "The last column is what else the machine was busy with, besides the contestant and the servers, in cores.",
        "",
        "| round | contestant | events/s | CPU-s per million | CPU-s per million, whole run | peak RSS, MiB | objects "
        "| load average before | other work, cores |",
        "| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {run['turn']} | {run['contestant']} | {rate(run):,.0f} | {steady(run):.2f} | {cost(run):.2f} "
        f"| {run['peak'] / 2**20:,.0f} | {run['objects'] + run['log_objects']} | {run['load']:.1f} "
        f"| {run['others']:.2f} |"
        for run in result["runs"]
    ]
    return "\n".join(lines) + "\n"
