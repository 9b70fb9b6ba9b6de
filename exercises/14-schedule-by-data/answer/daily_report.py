"""The Airflow DAG daily_report: counts the departures and arrivals of a date."""

import json
from pathlib import Path

from airflow.providers.postgres.hooks.postgres import PostgresHook
from airflow.sdk import DAG, Variable, task

COUNTS = """
select
    (select count(distinct event_id) from raw.flights_departed where _event_date = %(day)s),
    (select count(distinct event_id) from raw.flights_arrived where _event_date = %(day)s)"""


def write_report(day):
    """Writes ``<day>.json`` to the folder that Airflow's variable names."""
    departed, arrived = PostgresHook("warehouse_reader").get_first(COUNTS, parameters={"day": day})
    path = Path(Variable.get("report_folder", default="reports")) / f"{day}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"date": day, "departed": departed, "arrived": arrived}))


with DAG(
    "daily_report",
    description="counts the departures and arrivals of a date",
    schedule="0 6 * * *",
    catchup=False,
):

    @task
    def report(logical_date=None):
        """Writes the report of yesterday."""
        day = str(logical_date.subtract(days=1).date())
        write_report(day)
        return [day]

    report()
