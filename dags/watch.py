"""The DAG watch: looks whether anything should be looked at."""

from datetime import timedelta

from airflow.sdk import DAG

from sluice.orchestration.operators import WatchOperator
from sluice.orchestration.retries import DEFAULT_ARGS

DOC = """
### What somebody should look at

Every five minutes: does Kafka hold records while the lake does not go on (a sink that stands still), and is more than
a twentieth of what the last hour's loads brought in quarantine? An alert is raised once, in `ops.alerts` and on the
dashboard, and cleared when it is well again. `reconcile` raises one where Kafka, lake and warehouse disagree, and
Airflow itself where a load is overdue (a deadline).

Each is a line in the task's log, and a message to a webhook if there is one:
`make airflow A="connections add alert_webhook --conn-type generic --conn-host https://…"`.
"""

with DAG(
    dag_id="watch",
    description="raises alerts, and clears them when it is well again",
    doc_md=DOC,
    schedule="*/5 * * * *",
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(minutes=10),
    is_paused_upon_creation=False,
    default_args=DEFAULT_ARGS | {"owner": "platform", "execution_timeout": timedelta(minutes=4)},
    tags=["watch", "alerts"],
):
    WatchOperator(task_id="watch", doc_md="Looks at the sink and at quarantine, and settles their alerts.")
