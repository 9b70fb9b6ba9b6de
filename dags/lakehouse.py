"""The DAG lakehouse, where Spark was launched: loads, reconciles, builds and compares Spark's warehouse."""

from datetime import UTC, datetime, time, timedelta

from airflow.sdk import DAG, CronDataIntervalTimetable, Param

from sluice.contracts import load_contracts
from sluice.lakehouse.process import is_launched
from sluice.orchestration import operators
from sluice.orchestration.docs import render
from sluice.orchestration.history import LAKEHOUSE, history
from sluice.orchestration.retries import DEFAULT_ARGS
from sluice.settings import load_settings

DOC = """
### The second warehouse

`make up ENGINE=spark` runs a Spark cluster. On it, this DAG loads [the lake]({lake}) with the checks of the contracts,
verifies that every offset was loaded exactly once, builds [the dbt models]({dbt}), publishes the marts, and compares
them with those of Postgres by date.

- **When**: by hand, `make airflow A="dags trigger lakehouse"`; everything new is loaded. If a contract has no
  `history`, yesterday is loaded again each night.
- **Backfill**: each run loads the date of its data interval (UTC) again, and the last one builds the marts:
  `make airflow A="backfill create --dag-id lakehouse --from-date 2013-01-01 --to-date 2013-01-07"`. The parameter
  `event_date` reloads one date.
- **When it fails**: {on_failure}. If the two differ, load and transform the same events in Postgres first.
- **Asset graph**: [the tables of the lake]({airflow}/assets?name_pattern=lake), which are read here. **See**
  [dates]({dashboard}/pipeline) and `docs/how-to/use-spark.md`.
"""
EVENT_DATE = "{{ params.event_date or (data_interval_start | ds if data_interval_start is defined else '') }}"
SETTINGS = load_settings()

if is_launched(SETTINGS):
    FIRST, LAST = history(load_contracts(SETTINGS.contracts).values())
    with DAG(
        dag_id=LAKEHOUSE,
        description="loads, reconciles, builds and compares Spark's warehouse",
        doc_md=render(DOC, SETTINGS),
        schedule=CronDataIntervalTimetable("@daily", timezone="UTC"),
        start_date=datetime.combine(FIRST, time(), UTC),
        end_date=datetime.combine(LAST, time(), UTC) if LAST else None,
        catchup=False,
        max_active_runs=1,
        dagrun_timeout=timedelta(hours=2),
        is_paused_upon_creation=False,
        default_args=DEFAULT_ARGS | {"owner": "platform", "execution_timeout": timedelta(hours=1)},
        params={"event_date": Param(None, type=["null", "string"], format="date", description="A date to load again.")},
        tags=["lakehouse", "spark"],
    ):
        load = operators.LakehouseLoadOperator(
            task_id="load",
            event_date=EVENT_DATE,
            doc_md="Loads what is new in the lake, and the run's date again if it has one.",
        )
        reconcile = operators.LakehouseReconcileOperator(task_id="reconcile", doc_md="Counts every offset of the lake.")
        build = operators.LakehouseBuildOperator(task_id="build", doc_md="Builds, tests and publishes the marts.")
        compare = operators.CompareEnginesOperator(task_id="compare", doc_md="Compares the marts of both engines.")
        load >> reconcile >> build >> compare
