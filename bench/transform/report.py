"""The report of the transform's benchmark."""

import statistics
from typing import Any

Run = dict[str, Any]


def report(result: dict[str, Any]) -> str:
    """Returns the report in Markdown: cost by stale dates and history, rebuilds by late events, and the machine."""
    runs: list[Run] = result["runs"]
    months = sorted({run["months"] for run in runs})
    stale = sorted({run["touched"] for run in runs if run["touched"]})
    heading = [
        _row("stale dates", *(f"{month} month{'s' if month > 1 else ''} loaded" for month in months)),
        _row("---:", *("---:" for _ in months)),
    ]
    lines = [
        "# Transform performance",
        "",
        "Dates of all four streams are marked as stale without a new row, so that every model rebuilds them. Postgres "
        f"and dbt run on one machine; medians of {result['rounds']} rounds, a single round from 90 dates on. "
        "Written by `make bench-transform`.",
        "",
        "Whole transform, seconds (CPU-seconds of dbt + of Postgres):",
        "",
        *heading,
    ]
    lines += [
        _row(str(dates), *(_transform_seconds(_select(runs, month, dates)) for month in months)) for dates in stale
    ]
    lines += [
        "",
        "Publication alone, seconds:",
        "",
        *heading,
    ]
    lines += [_row(str(dates), *(_publish_seconds(_select(runs, month, dates)) for month in months)) for dates in stale]
    once, daily = result["late"]
    lines += [
        "",
        f"Late events: {once['days']} days of events, of which 5 % ({once['events']:,}) arrive up to 24 hours late, "
        "after the marts were built from all others:",
        "",
        _row(
            "late events",
            "transforms",
            "dates rebuilt",
            "fct_flights rows rebuilt",
            "rows per late event",
            "rows changed in the mart",
        ),
        _row("---", *("---:" for _ in range(5))),
        _late_row("all at once", once),
        _late_row("day by day", daily),
        "",
        f"{result['machine']['processor']}, {result['machine']['memory']}, {result['machine']['system']}; "
        f"{result['machine']['versions']}.",
        "",
    ]
    return "\n".join(lines)


def _select(runs: list[Run], months: int, stale: int) -> list[Run]:
    return [run for run in runs if run["months"] == months and run["touched"] == stale]


def _transform_seconds(runs: list[Run]) -> str:
    if not runs:
        return ""
    return f"{_median(runs, 'seconds'):.2f} ({_median(runs, 'dbt_cpu'):.2f} + {_median(runs, 'postgres_cpu'):.2f})"


def _publish_seconds(runs: list[Run]) -> str:
    return f"{_median(runs, 'publish_seconds'):.3f}" if runs else ""


def _late_row(name: str, late: dict[str, Any]) -> str:
    runs: list[Run] = late["runs"]
    rebuilt, changed = (sum(run[key] for run in runs) for key in ("staging_rows", "marts_rows"))
    dates = sum(run["dates"] for run in runs)
    return _row(name, str(len(runs)), str(dates), f"{rebuilt:,}", f"{rebuilt / late['events']:.1f}", f"{changed:,}")


def _median(runs: list[Run], figure: str) -> float:
    return statistics.median(run[figure] for run in runs)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
