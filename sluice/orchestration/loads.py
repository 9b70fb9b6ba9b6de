"""Builds the load DAG of a contract."""

from datetime import timedelta

from airflow.sdk import DAG

from sluice.contracts import Contract
from sluice.orchestration.assets import REPROCESSED, lake_table, raw_table, topic
from sluice.orchestration.docs import column_table, render
from sluice.orchestration.operators import FreshnessOperator, LoadOperator
from sluice.orchestration.retries import DEFAULT_ARGS, FIRST
from sluice.settings import Settings

DOC = """
### {stream} → raw.{table}

{description}

Loads everything in the lake beyond the warehouse's ledger. Each transaction writes rows, quarantine, ledger and stale
dates together, so repeating or killing a load changes nothing. **Skipped** means that the lake had nothing new.

`freshness` checks beside it that the sink still writes to the lake what Kafka has. It fails if the table has not
advanced since the last check, although Kafka had records for it.

- **Asset graph**: [`raw.{table}`]({airflow}/assets?name_pattern=raw.{table}) shows where its rows come from and go
  to, and the figures of each load.
- **When**: `{schedule}` (cron, UTC), or on demand (`make load`). A second run is queued behind the first.
- **Source**: `contracts/{stream}.yaml`, which also defines the topic, the table and this page.
- **Overdue**: if a run has not ended after {minutes} minutes, `monitor` raises an alert until it has ended.
- **Invalid records** are in [quarantine]({dashboard}/quarantine?stream={stream}) with a reason; all others are loaded.
- **When it fails**: {on_failure}, or wait for the next run, which resumes at the ledger's offset.
  `make reconcile` confirms that nothing is missing.
- **See** [progress]({dashboard}/pipeline), [files in the lake]({lake}/{stream}) and
  [downstream models]({dbt}#!/source/source.sluice.raw.{table}).

{columns}
"""


def load_dag(contract: Contract, settings: Settings) -> DAG:
    """Returns the DAG ``load_<stream>`` on the contract's schedule: the load, and the check of the lake's freshness."""
    minutes = contract.load.overdue // timedelta(minutes=1)
    with DAG(
        dag_id=contract.dag_id,
        description=f"{contract.stream}: from the lake to raw.{contract.table}",
        doc_md=render(
            DOC,
            settings,
            stream=contract.stream,
            table=contract.table,
            description=contract.description,
            schedule=contract.load.schedule,
            minutes=str(minutes),
            columns=column_table(contract),
        ),
        schedule=contract.load.schedule,
        catchup=False,
        max_active_runs=1,
        dagrun_timeout=timedelta(minutes=30),
        is_paused_upon_creation=False,
        default_args=DEFAULT_ARGS | {"owner": contract.owner},
        tags=["load", contract.stream],
    ) as dag:
        LoadOperator(
            task_id="load",
            stream=contract.stream,
            inlets=[lake_table(contract)],
            outlets=[raw_table(contract), REPROCESSED],
            **FIRST,
            doc_md=(
                f"Loads `{contract.stream}` from the ledger's offset to the end of the lake, and triggers `transform`"
                " if any date is stale. Its XCom holds the number of rows, quarantined events and dates."
            ),
        )
        # Beside the load, not before it: what the lake has is loaded also while Kafka or the sink is down. Not retried,
        # because retries would keep the next load waiting, which checks again.
        FreshnessOperator(
            task_id="freshness",
            stream=contract.stream,
            inlets=[topic(contract)],
            outlets=[lake_table(contract)],
            retries=0,
            doc_md=(
                f"Checks that the table of `{contract.stream}` in the lake advances while Kafka has records for it."
                " Its XCom holds how far it is behind."
            ),
        )
    return dag
