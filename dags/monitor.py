"""The DAG watch: looks whether anything should be looked at."""

from datetime import timedelta

from airflow.sdk import DAG

from sluice.orchestration.docs import render
from sluice.orchestration.operators import MonitorOperator
from sluice.orchestration.retries import DEFAULT_ARGS
from sluice.settings import load_settings

DOC = """
### What somebody should look at

- a sink that stands still: Kafka holds records while [the lake]({lake}) does not go on
- a stream of which more than a twentieth of the last hour's rows is in [quarantine]({dashboard}/quarantine)

`reconcile` raises an alert where Kafka, lake and warehouse disagree, and Airflow itself where a load is overdue.
Each is raised once, in `ops.alerts`, and cleared when it is well again.

- **When**: every five minutes, `{schedule}` (cron, UTC).
- **Where they are told**: the task's log, [the dashboard]({dashboard}/pipeline), and a webhook if there is one:
  `make airflow A="connections add alert_webhook --conn-type generic --conn-host …"` with its address.
- **When it fails**: {on_failure}. [The models]({dbt}) say what the counts are of.
"""
SCHEDULE = "*/5 * * * *"

with DAG(
    dag_id="watch",
    description="raises alerts, and clears them when it is well again",
    doc_md=render(DOC, load_settings(), schedule=SCHEDULE),
    schedule=SCHEDULE,
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(minutes=10),
    is_paused_upon_creation=False,
    default_args=DEFAULT_ARGS | {"owner": "platform", "execution_timeout": timedelta(minutes=4)},
    tags=["watch", "alerts"],
):
    MonitorOperator(task_id="watch", doc_md="Looks at the sink and at quarantine, and settles their alerts.")
