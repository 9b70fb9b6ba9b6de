"""The DAG reconcile: verifies that Kafka, lake and warehouse agree, and that the marts are up to date."""

from datetime import timedelta

from airflow.providers.common.sql.operators.sql import SQLCheckOperator
from airflow.sdk import DAG, Param

from sluice.orchestration.docs import render
from sluice.orchestration.operators import AuditOperator, ReconcileOperator
from sluice.orchestration.retries import DEFAULT_ARGS
from sluice.settings import load_settings

DOC = """
### Data integrity checks

- `reconcile` compares Kafka's offsets, the lake's commits, warehouse rows and quarantine, per stream; it waits for
  events in flight, and reads only what it has not verified before, unless the parameter `full` is set
- `marts_keep_up` checks, as the reader role, that no date has been stale for longer than `stale_minutes`
- `audit` runs the dbt tests that read whole tables

- **Asset graph**: [the raw tables]({airflow}/assets?name_pattern=raw), between the lake and the marts
- **When**: every hour, `{schedule}` (cron, UTC). `make reconcile` runs the first check from a terminal.
- **When it fails**: {on_failure}. If Kafka, lake and warehouse disagree, verify the lake with `make lake A=verify`; if
  it is intact, `make rebuild-warehouse` rebuilds the warehouse from it. If marts are stale, run `make transform`.
- **See** [counts per step]({dashboard}/pipeline), [the lake]({lake}) and [the tests' models]({dbt}).
"""
SCHEDULE = "17 * * * *"

with DAG(
    dag_id="reconcile",
    description="verifies that Kafka, lake and warehouse agree, and that the marts are up to date",
    doc_md=render(DOC, load_settings(), schedule=SCHEDULE),
    # No start_date, here and in other DAGs: with a past one, Airflow would run the last missed hour at first launch.
    schedule=SCHEDULE,
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(minutes=45),
    is_paused_upon_creation=False,
    default_args=DEFAULT_ARGS | {"owner": "platform"},
    params={
        "stale_minutes": Param(30, type="integer", minimum=1, description="How long a date may be stale."),
        "full": Param(False, type="boolean", description="Compare everything, whatever was verified before."),
    },
    tags=["reconcile", "quality"],
):
    ReconcileOperator(
        task_id="reconcile",
        full="{{ params.full }}",
        doc_md="Verifies that Kafka = lake = warehouse + quarantine, offset by offset. Its log shows the comparison.",
    )
    AuditOperator(task_id="audit", doc_md="Runs the dbt tests that a transform omits because they read whole tables.")
    SQLCheckOperator(
        task_id="marts_keep_up",
        conn_id="warehouse_reader",
        sql="sql/marts_keep_up.sql",
        doc_md="Checks that no date has been stale for longer than `stale_minutes`.",
    )
