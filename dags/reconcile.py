"""The DAG reconcile: proves that Kafka, lake and warehouse agree, and that the marts keep up."""

from datetime import timedelta

from airflow.providers.common.sql.operators.sql import SQLCheckOperator
from airflow.sdk import DAG, Param

from sluice.orchestration.operators import AuditOperator, ReconcileOperator
from sluice.orchestration.retries import DEFAULT_ARGS

DOC = """
### Nothing lost, nothing doubled

- `reconcile` compares Kafka's offsets, the lake's commits, warehouse rows and quarantine, per stream; it waits
  for events that are on their way
- `marts_keep_up` asks, as the reader role, whether a touched date has waited longer than `stale_minutes` to be built
- `audit` runs the dbt tests that read whole tables

The first from a terminal: `make reconcile`.
"""

with DAG(
    dag_id="reconcile",
    description="proves that Kafka, lake and warehouse agree, and that the marts keep up",
    doc_md=DOC,
    # No start_date, here and in the others: with a past one Airflow runs the hour last missed at the first launch.
    schedule="17 * * * *",
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(minutes=45),
    is_paused_upon_creation=False,
    default_args=DEFAULT_ARGS | {"owner": "platform"},
    params={"stale_minutes": Param(30, type="integer", minimum=1, description="How long a touched date may wait.")},
    tags=["reconcile", "quality"],
):
    ReconcileOperator(task_id="reconcile", doc_md="Kafka = lake = warehouse + quarantine, offset by offset.")
    AuditOperator(task_id="audit", doc_md="The dbt tests that a transform leaves out, because they read whole tables.")
    SQLCheckOperator(
        task_id="marts_keep_up",
        conn_id="warehouse_reader",
        sql="sql/marts_keep_up.sql",
        doc_md="No touched date has waited too long to be built.",
    )
