"""The results as a page."""

from typing import Any


def report(result: dict[str, Any], plot: str) -> str:
    """The page in Markdown."""
    year = result["year"]
    lines = [
        "# A backfill's cost",
        "",
        "The whole of `make backfill` with `WHAT=all`: the figures before, a run per date in Airflow, one transform,"
        " the figures after, and reconciling. On a platform of its own, nothing produced meanwhile, four streams."
        f" CPU-seconds are those of the command and of all servers, which take {result['idle']:.2f} cores when idle."
        " Written by `make bench-backfill`.",
        "",
        "With the year loaded, 690,237 events of 366 dates:",
        "",
        "| dates | seconds | seconds a date | CPU-seconds | CPU-seconds a date | other work, cores |",
        "| ---: | ---: | ---: | ---: | ---: | ---: |",
        *(
            f"| {run['dates']} | {run['seconds']:.0f} | {run['seconds'] / run['dates']:.2f} | {run['cpu']:.0f}"
            f" | {run['cpu'] / run['dates']:.2f} | {run['others']:.2f} |"
            for run in result["lengths"]
        ),
        "",
        f"Of {result['stages'][0]['dates']} dates, by how much was loaded:",
        "",
        "| months loaded | seconds | CPU-seconds | other work, cores |",
        "| ---: | ---: | ---: | ---: |",
        *(
            f"| {run['months']} | {run['seconds']:.0f} | {run['cpu']:.0f} | {run['others']:.2f} |"
            for run in result["stages"]
        ),
        "",
        f"The year from a started platform's empty topics to the marts of {year['flights']:,} flights, one command"
        f" after the other: {year['seconds']:.0f} s.",
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
