"""The DAG maintain: keeps the lake's tables in a good shape."""

from datetime import timedelta

from airflow.sdk import DAG

from sluice.contracts import load_contracts
from sluice.orchestration.docs import render
from sluice.orchestration.operators import MaintainOperator
from sluice.orchestration.retries import DEFAULT_ARGS
from sluice.settings import load_settings

DOC = """
### Small files and forgotten files

Once a day, per stream: small files of closed dates (`ops.date_status`) become one, the log gets a checkpoint and loses
what is older than 30 days, and files that no commit has named for a week are removed. Rows stay what they are, and
loads may run meanwhile: they read by offset and do not care how files are cut.

- **When**: every night, `{schedule}` (cron, UTC), a task after the other; by hand at any time.
- **When it fails**: {on_failure}, or leave it to the next night: files stay small, and nothing is lost.
  `make lake A=verify` proves that every offset is there once.
- **See** [which dates are closed]({dashboard}/pipeline), [the files]({lake}) and [what reads them in the end]({dbt}).
"""
TASK = "Compacts and vacuums [the table of `{stream}`]({lake}/{stream}). Its log says how many files became how many."
SCHEDULE = "41 3 * * *"
SETTINGS = load_settings()

with DAG(
    dag_id="maintain",
    description="compacts the lake's closed dates and removes files that no commit names",
    doc_md=render(DOC, SETTINGS, schedule=SCHEDULE),
    schedule=SCHEDULE,
    catchup=False,
    max_active_runs=1,
    max_active_tasks=1,
    dagrun_timeout=timedelta(hours=2),
    is_paused_upon_creation=False,
    default_args=DEFAULT_ARGS | {"owner": "platform", "execution_timeout": timedelta(minutes=30)},
    tags=["maintain", "lake"],
):
    for contract in load_contracts(SETTINGS.contracts).values():
        MaintainOperator(
            task_id=f"maintain_{contract.table}",
            stream=contract.stream,
            doc_md=render(TASK, SETTINGS, stream=contract.stream),
        )
