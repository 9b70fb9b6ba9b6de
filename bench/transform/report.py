"""The results as a page."""

import statistics
from typing import Any

Run = dict[str, Any]


def report(result: dict[str, Any]) -> str:
    """The page in Markdown: cost by touched dates and history, what late events rebuild, and the machine."""
    runs: list[Run] = result["runs"]
    months = sorted({run["months"] for run in runs})
    touched = sorted({run["touched"] for run in runs if run["touched"]})
    heading = [
        _row("dates touched", *(f"{month} month{'s' if month > 1 else ''} loaded" for month in months)),
        _row("---:", *("---:" for _ in months)),
    ]
    lines = [
        "# What a transform costs",
        "",
        "Dates of all four streams touched without a new row, so that every model rebuilds them; Postgres and dbt on "
        f"one machine; medians of {result['rounds']} rounds, one from 90 dates on. Written by `make bench-transform`.",
        "",
        "Whole transform, seconds (CPU-seconds of dbt + of Postgres):",
        "",
        *heading,
    ]
    lines += [_row(str(dates), *(_whole(_of(runs, month, dates)) for month in months)) for dates in touched]
    lines += [
        "",
        "Of it publishing, seconds:",
        "",
        *heading,
    ]
    lines += [_row(str(dates), *(_publishing(_of(runs, month, dates)) for month in months)) for dates in touched]
    once, daily = result["late"]
    lines += [
        "",
        f"Late events: {once['days']} days of events, 5 % of which ({once['events']:,}) come up to 24 hours late, when "
        "all the others were built:",
        "",
        _row(
            "", "transforms", "dates rebuilt", "fct_flights rows rebuilt", "per late event", "rows changed in the mart"
        ),
        _row("---", *("---:" for _ in range(5))),
        _late("all at once", once),
        _late("day by day", daily),
        "",
        f"{result['machine']['processor']}, {result['machine']['memory']}, {result['machine']['system']}; "
        f"{result['machine']['versions']}.",
        "",
    ]
    return "\n".join(lines)


def _of(runs: list[Run], months: int, touched: int) -> list[Run]:
    return [run for run in runs if run["months"] == months and run["touched"] == touched]


def _whole(runs: list[Run]) -> str:
    if not runs:
        return ""
    return f"{_median(runs, 'seconds'):.2f} ({_median(runs, 'dbt_cpu'):.2f} + {_median(runs, 'postgres_cpu'):.2f})"


def _publishing(runs: list[Run]) -> str:
    return f"{_median(runs, 'publish_seconds'):.3f}" if runs else ""


def _late(name: str, late: dict[str, Any]) -> str:
    runs: list[Run] = late["runs"]
    rebuilt, changed = (sum(run[key] for run in runs) for key in ("staging_rows", "marts_rows"))
    dates = sum(run["dates"] for run in runs)
    return _row(name, str(len(runs)), str(dates), f"{rebuilt:,}", f"{rebuilt / late['events']:.1f}", f"{changed:,}")


def _median(runs: list[Run], figure: str) -> float:
    return statistics.median(run[figure] for run in runs)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
