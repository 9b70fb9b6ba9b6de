"""Cancelling a backfill: its dates that wait are dropped, and the marts of those that are done are published."""

import time
from datetime import date

from sluice.orchestration.batch import TRANSFORM, airflow_client, run_dags
from sluice.orchestration.follow import POLL, Show
from sluice.orchestration.history import REPROCESS
from sluice.orchestration.rest import Airflow, Json
from sluice.settings import Settings


def cancel_backfill(settings: Settings, show: Show = print) -> None:
    """Cancels the backfill that has dates left, also of another user, and publishes what is done.

    Raises:
        TerminalError: the transform failed.
        TransientError: Airflow is down.
    """
    from sluice.backfill.request import delete_unfinished, load_unfinished

    with airflow_client(settings) as airflow:
        backfill = airflow.open_backfill(REPROCESS)
        dropped = cancel_runs(airflow, backfill, show) if backfill else 0
        unfinished = load_unfinished(settings)
        if unfinished and not dropped:
            request = unfinished.request
            show(f"the backfill of {request.first} to {request.last} is forgotten: it had no date left in Airflow")
        delete_unfinished(settings)
        if dropped:
            run_dags(airflow, [TRANSFORM], show)
        elif not unfinished:
            show("nothing to cancel: no backfill has dates left")


def cancel_runs(airflow: Airflow, backfill: Json, show: Show) -> int:
    """Drops the dates of a backfill that wait, lets those that run end, and returns how many were dropped.

    Airflow's own cancelling would mark them as failed, and leave the backfill paused forever, and with it any date
    that an operator clears.
    """
    first, last = (date.fromisoformat(backfill[end][:10]) for end in ("from_date", "to_date"))
    airflow.pause_backfill(backfill["id"])
    runs = list(airflow.backfill_runs(REPROCESS, first, last))
    queued = [run["dag_run_id"] for run in runs if run["state"] == "queued"]
    dropped = sum(airflow.delete_run(REPROCESS, run_id) for run_id in queued)
    while airflow.count_backfill_runs(REPROCESS, first, last, ("running",)):
        time.sleep(POLL.total_seconds())
    # So that Airflow closes it.
    airflow.pause_backfill(backfill["id"], paused=False)
    count = (last - first).days + 1
    if queued:
        show(f"backfill {backfill['id']} of {first} to {last} is cancelled: {dropped} of {count} dates are dropped")
    return dropped
