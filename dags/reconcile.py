"""The DAG reconcile: proves that Kafka, lake and warehouse agree, and that the marts keep up."""

from datetime import timedelta

from airflow.providers.common.sql.operators.sql import SQLCheckOperator
from airflow.sdk import DAG, Param

from sluice.orchestration.docs import render
from sluice.orchestration.operators import AuditOperator, ReconcileOperator
from sluice.orchestration.retries import DEFAULT_ARGS
from sluice.settings import load_settings

DOC = """
### Nothing lost, nothing doubled

- `reconcile` compares Kafka's offsets, the lake's commits, warehouse rows and quarantine, per stream; it waits
  for events that are on their way
- `marts_keep_up` asks, as the reader role, whether a touched date has waited longer than `stale_minutes` to be built
- `audit` runs the dbt tests that read whole tables

- **When**: every hour, `{schedule}` (cron, UTC); the first task also from a terminal: `make reconcile`.
- **When it fails**: {on_failure}. Where Kafka, lake and warehouse disagree, `make lake A=verify` says whether the
  lake is whole; if it is, `make rebuild-warehouse` makes the rest from it again. Marts that wait: `make transform`.
- **See** [the counts of each step]({dashboard}/pipeline), [the lake]({lake}) and [what the tests are of]({dbt}).
"""
SCHEDULE = "17 * * * *"

with DAG(
    dag_id="reconcile",
    description="proves that Kafka, lake and warehouse agree, and that the marts keep up",
    doc_md=render(DOC, load_settings(), schedule=SCHEDULE),
    # No start_date, here and in the others: with a past one Airflow runs the hour last missed at the first launch.
    schedule=SCHEDULE,
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(minutes=45),
    is_paused_upon_creation=False,
    default_args=DEFAULT_ARGS | {"owner": "platform"},
    params={"stale_minutes": Param(30, type="integer", minimum=1, description="How long a touched date may wait.")},
    tags=["reconcile", "quality"],
):
    ReconcileOperator(
        task_id="reconcile",
        doc_md="Kafka = lake = warehouse + quarantine, offset by offset. Its log holds the table, agreed or not.",
    )
    AuditOperator(task_id="audit", doc_md="The dbt tests that a transform leaves out, because they read whole tables.")
    SQLCheckOperator(
        task_id="marts_keep_up",
        conn_id="warehouse_reader",
        sql="sql/marts_keep_up.sql",
        doc_md="No touched date has waited for its marts longer than `stale_minutes`.",
    )
