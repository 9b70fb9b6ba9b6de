"""The Airflow DAG morning_report: counts the flights of the marts for the shift that starts at 07:30 UTC."""

from datetime import timedelta

import httpx
from airflow.providers.postgres.hooks.postgres import PostgresHook
from airflow.sdk import DAG, BaseHook, DeadlineAlert, DeadlineReference, SyncCallback, task

WEBHOOK = "alert_webhook"


def alert(promise, context):
    """Posts a missed deadline to the webhook; raises if that does not take it."""
    run, due = context["dag_run"], context["deadline"]["deadline_time"]
    late = {"dag_id": run["dag_id"], "run_id": run["dag_run_id"], "deadline": due, "promise": promise}
    text = f"{late['dag_id']} is late ({promise}, due {due}): {late['run_id']}"
    httpx.post(BaseHook.get_connection(WEBHOOK).host, json=late | {"text": text}, timeout=60).raise_for_status()


def deadline(promise, reference, minutes):
    """Returns a deadline whose alert names the promise."""
    return DeadlineAlert(
        reference=reference, interval=timedelta(minutes=minutes), callback=SyncCallback(alert, {"promise": promise})
    )


with DAG(
    "morning_report",
    description="counts the flights of the marts",
    schedule="0 6 * * *",
    catchup=False,
    deadline=[
        deadline("ready by 07:30", DeadlineReference.DAGRUN_LOGICAL_DATE, 90),
        deadline("done in 20 minutes", DeadlineReference.DAGRUN_QUEUED_AT, 20),
    ],
):

    @task
    def report():
        """Returns the number of flights."""
        (flights,) = PostgresHook("warehouse_reader").get_first("select count(*) from marts.fct_flights")
        return flights

    report()
