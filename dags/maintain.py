"""The DAG maintain: compacts and vacuums the lake's tables."""

from datetime import timedelta

from airflow.sdk import DAG

from sluice.contracts import load_contracts
from sluice.orchestration.docs import render
from sluice.orchestration.operators import MaintainOperator
from sluice.orchestration.retries import DEFAULT_ARGS
from sluice.settings import load_settings

DOC = """
### Compaction and vacuum

Once a day, for each stream: compacts the small files of closed dates (`ops.date_status`), and of open dates that have
many, into one file, copies the hashes of new commits to where they are kept, writes a
checkpoint, removes log entries older than 30 days, and removes files that no commit has referenced for a week. Rows do
not change. Loads may run at the same time: they read by offset, so the file layout does not matter to them.

- **Asset graph**: [the tables in the lake]({airflow}/assets?name_pattern=lake) and what is built from them
- **When**: every night, `{schedule}` (cron, UTC), one task after another; on demand at any time.
- **When it fails**: {on_failure}, or wait for the next night: files stay small, and no data is lost.
  `make lake A=verify` confirms that every offset is in the lake exactly once.
- **See** [closed dates]({dashboard}/pipeline), [files in the lake]({lake}) and [downstream models]({dbt}).
"""
TASK = "Compacts and vacuums [the table of `{stream}`]({lake}/{stream}). Its log counts the files before and after."
SCHEDULE = "41 3 * * *"
SETTINGS = load_settings()

with DAG(
    dag_id="maintain",
    description="compacts the lake's files and removes files that no commit references",
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
