"""The Airflow DAG daily_report: counts the departures and arrivals of a date."""

import json
from pathlib import Path

from airflow.providers.postgres.hooks.postgres import PostgresHook
from airflow.sdk import DAG, Asset, Variable, task

DEPARTED = Asset("raw.flights_departed", group="warehouse")
ARRIVED = Asset("raw.flights_arrived", group="warehouse")
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


def dates_of(event):
    """Returns the dates that an event names."""
    loaded, reprocessed = event.extra.get("dates", []), event.extra.get("event_date")
    return [*loaded, reprocessed] if reprocessed else loaded


with DAG(
    "daily_report",
    description="counts the departures and arrivals of a date",
    schedule=DEPARTED & ARRIVED,
):

    @task
    def report(triggering_asset_events=None):
        """Writes the reports of the dates that the events of this run name."""
        changed = triggering_asset_events.values()
        days = list(dict.fromkeys(day for events in changed for event in events for day in dates_of(event)))
        for day in days:
            write_report(day)
        return days

    report()
