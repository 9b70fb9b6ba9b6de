"""The Airflow DAG morning_report: counts the flights of the marts for the shift that starts at 07:30 UTC."""

import httpx
from airflow.providers.postgres.hooks.postgres import PostgresHook
from airflow.sdk import DAG, BaseHook, task

WEBHOOK = "alert_webhook"


def alert(context):
    """Posts a failed run to the webhook."""
    run = context["ti"]
    text = f"{run.dag_id} failed: {run.run_id}"
    httpx.post(BaseHook.get_connection(WEBHOOK).host, json={"text": text, "dag_id": run.dag_id, "run_id": run.run_id})


with DAG(
    "morning_report",
    description="counts the flights of the marts",
    schedule="0 6 * * *",
    catchup=False,
    on_failure_callback=alert,
):

    @task
    def report():
        """Returns the number of flights."""
        (flights,) = PostgresHook("warehouse_reader").get_first("select count(*) from marts.fct_flights")
        return flights

    report()
