"""Makes the load DAG of a contract."""

from datetime import timedelta

from airflow.sdk import DAG
from airflow.sdk.definitions.callback import SyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference

from sluice.contracts import Contract
from sluice.orchestration.alerts import load_is_overdue
from sluice.orchestration.assets import REPROCESSED, raw_table
from sluice.orchestration.docs import columns, render
from sluice.orchestration.operators import LoadOperator
from sluice.orchestration.retries import DEFAULT_ARGS
from sluice.settings import Settings

DOC = """
### {stream} → raw.{table}

{description}

Takes what the lake has beyond the warehouse's ledger, in transactions that carry rows, quarantine, ledger and touched
dates together. Running it twice, or killing it, changes nothing. **Skipped** means that the lake had nothing new.

- **When**: `{schedule}` (cron, UTC), or at any time by hand (`make load`): a second run waits for the first.
- **Made from** `contracts/{stream}.yaml`, like the topic, the table and this page.
- **Overdue**: a run that has not ended after {minutes} minutes is an alert, by Airflow's deadlines, until a load ends.
- **What does not fit** is in [quarantine]({dashboard}/quarantine?stream={stream}) with its reason; the rest loads.
- **When it fails**: {on_failure}, or leave it to the next run: it goes on where the ledger is.
  `make reconcile` proves that nothing is missing.
- **See** [how far it is]({dashboard}/pipeline), [its files in the lake]({lake}/{stream}) and
  [what is made of it]({dbt}#!/source/source.sluice.raw.{table}).

{columns}
"""


def load_dag(contract: Contract, settings: Settings) -> DAG:
    """The DAG ``load_<stream>``: one task, on the contract's schedule, that emits the raw table's asset."""
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
            columns=columns(contract),
        ),
        schedule=contract.load.schedule,
        catchup=False,
        max_active_runs=1,
        dagrun_timeout=timedelta(minutes=30),
        is_paused_upon_creation=False,
        deadline=DeadlineAlert(
            reference=DeadlineReference.DAGRUN_QUEUED_AT,
            interval=contract.load.overdue,
            callback=SyncCallback(load_is_overdue, kwargs={"stream": contract.stream, "minutes": minutes}),
            name="overdue",
        ),
        default_args=DEFAULT_ARGS | {"owner": contract.owner},
        tags=["load", contract.stream],
    ) as dag:
        LoadOperator(
            task_id="load",
            stream=contract.stream,
            outlets=[raw_table(contract), REPROCESSED],
            doc_md=(
                f"Loads `{contract.stream}` from the ledger's head to the lake's, and wakes `transform` where that"
                " touched any date. Its XCom says how many rows, quarantined events and dates it was."
            ),
        )
    return dag
