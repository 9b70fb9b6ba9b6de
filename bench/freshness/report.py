"""The report of the freshness benchmark."""

from typing import Any

from bench.freshness.sample import percentiles

Run = dict[str, Any]
PLACES = {"live": "live view", "lake": "lake", "raw": "raw tables", "marts": "marts"}
SHARES = (0.5, 0.95, 0.99)


def report(result: dict[str, Any], plot: str) -> str:
    """Returns the report in Markdown: percentiles by place and rate, and the machine."""
    lines = [
        "# Freshness",
        "",
        "Seconds from the broker's acknowledgement of a record until it can be read. A platform on one machine gets "
        "the year's events at each rate for some minutes, with the schedules as they are. The live "
        "view is looked at every 0.2 s, lake and raw tables every 0.5 s, and the marts every second. Where each commit "
        "triggers a load, it does so through Airflow's API, one run per stream at a time. Cores in use are those of "
        "the whole machine while events are sent, with this benchmark's own sender. Written by `make bench-freshness`.",
        "",
        "| events/s | minutes | loads | cores in use | place | samples | p50 | p95 | p99 |",
        "| ---: | ---: | --- | ---: | --- | ---: | ---: | ---: | ---: |",
    ]
    for run in result["runs"]:
        for place, name in PLACES.items():
            cells = [
                f"{run['rate']:,}",
                f"{run['minutes']:g}",
                schedule(run),
                f"{run['cores']:.2f}",
                name,
                f"{run['places'][place]['samples']:,}",
            ]
            lines.append(f"| {' | '.join([*cells, *figures(run, place)])} |")
    lines += ["", f"![The share of the records that can be read after so many seconds]({plot})", ""]
    machine = result["machine"]
    lines.append(f"{machine['processor']}, {machine['memory']}, {machine['system']}; {machine['versions']}.")
    return "\n".join(lines) + "\n"


def schedule(run: Run) -> str:
    """Returns when the loads of a run started."""
    return "after each commit" if run["announced"] else "every two minutes"


def figures(run: Run, place: str) -> list[str]:
    """Returns the percentiles of one place as the report writes them."""
    return [f"{value:.1f}" for value in percentiles(run["places"][place]["delays"], SHARES)]
