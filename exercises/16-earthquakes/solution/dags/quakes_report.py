"""The Airflow DAG quakes_report: reports the dates that have changed in the mart agg_quakes_daily."""

from datetime import date, timedelta
from typing import Any

from airflow.providers.postgres.hooks.postgres import PostgresHook
from airflow.sdk import Asset, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

STREAM = "quakes.reported"
MART = Asset(name="marts.agg_quakes_daily", group="warehouse")
QUERY = """
select changed.event_date, coalesce(sum(quakes), 0), coalesce(sum(quakes) filter (where magnitude_class = 'strong'), 0)
from unnest(%s::date[]) as changed (event_date)
left join marts.agg_quakes_daily using (event_date)
group by changed.event_date
order by changed.event_date
"""


@dag(
    dag_id="quakes_report",
    description="reports the dates of earthquakes that have changed",
    schedule=MART,
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(minutes=10),
    is_paused_upon_creation=False,
    default_args={"owner": "seismology", "retries": 3, "execution_timeout": timedelta(minutes=5)},
    tags=["report"],
)
def quakes_report() -> None:
    @task(inlets=[MART], doc_md="Counts the earthquakes of each changed date. The report is its XCom.")
    def report() -> list[dict[str, Any]]:
        # Several publications may have led to one run, and some of them concern other streams only.
        published = get_current_context()["triggering_asset_events"].values()
        changed = {day for events in published for event in events for day in event.extra["dates"].get(STREAM, [])}
        if not changed:
            raise AirflowSkipException(f"no date of {STREAM} has changed")
        days = [date.fromisoformat(day) for day in sorted(changed)]
        rows = PostgresHook("warehouse_reader").get_records(QUERY, parameters=(days,))
        return [
            {"event_date": day.isoformat(), "quakes": int(quakes), "strong": int(strong)}
            for day, quakes, strong in rows
        ]

    report()


quakes_report()
