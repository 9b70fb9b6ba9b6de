"""The DAG monitor: raises and clears alerts."""

from datetime import timedelta

from airflow.sdk import DAG

from sluice.orchestration.docs import render
from sluice.orchestration.operators import MonitorOperator
from sluice.orchestration.retries import DEFAULT_ARGS
from sluice.settings import load_settings

DOC = """
### Alerts

- **Failed run**: a run of a DAG failed, and no later one succeeded. **Overdue load**: a load has not ended in time.
- **Import error**: a file in `dags/` does not import. **Invalid contract**: a file in `contracts/` is not valid.
- **Stalled sink**: Kafka has new records, but the sink commits nothing to [the lake]({lake}).
- **Quarantine**: more than 5 % of a stream's rows of the last hour are in [quarantine]({dashboard}/quarantine).
- **Disk**: little space is free. **Clock**: the clock of a server, or of a stream's producers, differs from ours.
- **Failed check**: one of these checks has failed itself; the others were done.

`reconcile` raises an alert if Kafka, lake and warehouse disagree. Each alert is raised once, names its run, and is
cleared when the condition no longer holds.

- **Asset graph**: [all data, from the topics to the dashboard]({airflow}/assets), with the figures of each run
- **When**: every five minutes, `{schedule}` (cron, UTC).
- **Notifications**: the task's log, [the dashboard]({dashboard}/pipeline), and the channels that have a connection:
  `alert_webhook`, `alert_slack`, `alert_email` (`docs/how-to/alerts.md`).
- **When it fails**: {on_failure}. [The documentation of the models]({dbt}) describes the rows that are counted.
"""
SCHEDULE = "*/5 * * * *"

with DAG(
    dag_id="monitor",
    description="raises and clears the alerts",
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
        doc_md="Checks runs, files, contracts, sink, quarantine, disk and clocks, and updates their alerts.",
    )
