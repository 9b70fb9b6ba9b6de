"""Airflow's runs over time."""

from collections.abc import Sequence
from datetime import datetime

from dashboard import formatting
from dashboard.charts import Chart, Series
from dashboard.queries import DagRun

STATES = {"success": ("Succeeded", "good"), "running": ("Running", "live"), "failed": ("Failed", "bad")}
"""The states in which a run that has started can be, with their colours."""


def runs_chart(runs: Sequence[DagRun]) -> Chart | None:
    """Returns a chart with a lane per DAG and a point per run at its start; None without a run that has started."""
    started = sorted(
        ((run.start_date, run) for run in runs if isinstance(run.start_date, datetime)), key=lambda entry: entry[0]
    )
    if not started:
        return None
    lanes = sorted({run.dag_id for _, run in started}, reverse=True)
    return Chart(
        "Airflow's runs by DAG and start",
        [int(start.timestamp()) for start, _ in started],
        [
            Series(
                label, "points", color, [lanes.index(run.dag_id) if run.state == state else None for _, run in started]
            )
            for state, (label, color) in STATES.items()
        ],
        step=0,
        lanes=lanes,
        notes=[f"{run.dag_id}: {run.state}, {formatting.duration(run.duration)}" for _, run in started],
    )
