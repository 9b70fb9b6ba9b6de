"""The DAG monitor: raises and clears alerts."""

from datetime import timedelta

from airflow.sdk import DAG

from sluice.orchestration.docs import render
from sluice.orchestration.operators import MonitorOperator
from sluice.orchestration.retries import DEFAULT_ARGS
from sluice.settings import load_settings

DOC = """
### Alerts

- **Invalid contract**: a file in `contracts/` is not valid. Its stream is not loaded; all others are.
- **Stalled sink**: Kafka has new records, but the sink commits nothing to [the lake]({lake}).
- **High quarantine rate**: more than 5 % of a stream's rows of the last hour are in
  [quarantine]({dashboard}/quarantine).
- **Clock**: the clock of a server, or of a stream's producers, differs from this host's by more than a minute.

`reconcile` raises an alert if Kafka, lake and warehouse disagree; Airflow raises one if a load is overdue. Each alert
is raised once, in `ops.alerts`, and cleared when the condition no longer holds.

- **When**: every five minutes, `{schedule}` (cron, UTC).
- **Notifications**: the task's log, [the dashboard]({dashboard}/pipeline), and an optional webhook. Add its URL with
  `make airflow A="connections add alert_webhook --conn-type generic --conn-host …"`.
- **When it fails**: {on_failure}. [The documentation of the models]({dbt}) describes the rows that are counted.
"""
SCHEDULE = "*/5 * * * *"

with DAG(
    dag_id="monitor",
    description="raises and clears alerts for invalid contracts, stalled sinks, quarantine rates and wrong clocks",
    doc_md=render(DOC, load_settings(), schedule=SCHEDULE),
    schedule=SCHEDULE,
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(minutes=10),
    is_paused_upon_creation=False,
    default_args=DEFAULT_ARGS | {"owner": "platform", "execution_timeout": timedelta(minutes=4)},
    tags=["monitor", "alerts"],
):
    MonitorOperator(
        task_id="monitor",
        doc_md="Checks contracts, sink, quarantine and clocks, and updates their alerts.",
    )
