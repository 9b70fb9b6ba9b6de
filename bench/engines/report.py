"""The report of the engines' benchmark."""

from typing import Any

Run = dict[str, Any]
CONFIGURATIONS = {
    ("postgres", 0): "Postgres",
    ("spark", 1): "Spark, one executor",
    ("spark", 2): "Spark, two executors",
}


def report(result: dict[str, Any]) -> str:
    """Returns the report in Markdown: seconds, CPU-seconds and memory by engine, step and copies, and the machine."""
    runs: list[Run] = result["runs"]
    lines = [
        "# Engines",
        "",
        "2013's flights and weather, each flight as so many distinct flights, from the lake to the marts. An executor "
        "has one core. CPU-seconds are the machine's, MinIO's included; memory is the peak of all processes but MinIO, "
        "shared pages counted once. One run each. Written by `make bench-engines`.",
        "",
        "| copies | events | step | engine | seconds | CPU-seconds | memory, MiB |",
        "| ---: | ---: | --- | --- | ---: | ---: | ---: |",
    ]
    for run in sorted(runs, key=lambda run: (run["copies"], run["step"], run["engine"], run["executors"])):
        cells = [
            str(run["copies"]),
            f"{run['events']:,}",
            run["step"],
            CONFIGURATIONS[run["engine"], run["executors"]],
            *figures(run),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "; ".join(", ".join(part) for part in _machine(result["machine"])) + "."]
    return "\n".join(lines) + "\n"


def figures(run: Run) -> tuple[str, str, str]:
    """Returns a run's seconds, CPU-seconds and MiB as the report writes them."""
    return f"{run['seconds']:.0f}", f"{run['cpu']:.0f}", f"{run['peak'] / 2**20:,.0f}"


def _machine(machine: dict[str, str]) -> list[list[str]]:
    return [[machine["processor"], machine["memory"], machine["system"]], [machine["versions"]]]
