"""The report of the backfill's benchmark."""

from typing import Any


def report(result: dict[str, Any], plot: str) -> str:
    """Returns the report in Markdown."""
    year = result["year"]
    lines = [
        "# Backfill performance",
        "",
        "The whole of `make backfill` with `WHAT=all`: the snapshot before, one run per date in Airflow, one transform,"
        " the snapshot after, and the reconciliation. A platform of its own with four streams and no producer running."
        " CPU-seconds are those of the command and of all servers, which use"
        f" {result['idle']:.2f} cores when idle. Written by `make bench-backfill`.",
        "",
        "With the whole year loaded (690,237 events on 366 dates):",
        "",
        "| dates | seconds | seconds per date | CPU-seconds | CPU-seconds per date | other work, cores |",
        "| ---: | ---: | ---: | ---: | ---: | ---: |",
        *(
            f"| {run['dates']} | {run['seconds']:.0f} | {run['seconds'] / run['dates']:.2f} | {run['cpu']:.0f}"
            f" | {run['cpu'] / run['dates']:.2f} | {run['others']:.2f} |"
            for run in result["lengths"]
        ),
        "",
        f"A backfill of {result['stages'][0]['dates']} dates, by the amount of history loaded:",
        "",
        "| months loaded | seconds | CPU-seconds | other work, cores |",
        "| ---: | ---: | ---: | ---: |",
        *(
            f"| {run['months']} | {run['seconds']:.0f} | {run['cpu']:.0f} | {run['others']:.2f} |"
            for run in result["stages"]
        ),
        "",
        f"The whole year, from the empty topics of a running platform to marts of {year['flights']:,} flights, one"
        f" command after the other: {year['seconds']:.0f} s.",
        "",
        "| command | seconds | CPU-seconds | other work, cores |",
        "| --- | ---: | ---: | ---: |",
        *(
            f"| {name} | {part['seconds']:.0f} | {part['cpu']:.0f} | {part['others']:.2f} |"
            for name, part in year["parts"].items()
        ),
        "",
        f"![seconds and CPU-seconds by dates]({plot})",
        "",
        *(f"- {name}: {value}" for name, value in result["machine"].items()),
    ]
    return "\n".join(lines) + "\n"
