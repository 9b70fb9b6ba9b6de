"""Makes the load DAG of a contract."""

from datetime import timedelta

from airflow.sdk import DAG
from airflow.sdk.definitions.callback import SyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference

from sluice.contracts import Contract
from sluice.orchestration.alerts import load_is_overdue
from sluice.orchestration.assets import REBUILT, raw_table
from sluice.orchestration.operators import LoadOperator
from sluice.orchestration.retries import DEFAULT_ARGS

DOC = """
### {stream} → raw.{table}

{description}

Takes what the lake has beyond the warehouse's ledger, in transactions that carry rows, quarantine, ledger and touched
dates together. Running it twice, or killing it, changes nothing. **Skipped** means that the lake had nothing new.

- made from `contracts/{stream}.yaml`; its schedule is `load.schedule` there
- trigger it by hand at any time: a second run waits for the first
- events that break the contract are in `raw.quarantine`, with the reason
- one that has not ended `load.overdue` after it was due is an alert (a deadline of Airflow's), until a load ends
"""


def load_dag(contract: Contract) -> DAG:
    """The DAG ``load_<stream>``: one task, on the contract's schedule, that emits the raw table's asset."""
    with DAG(
        dag_id=contract.dag_id,
        description=f"{contract.stream}: from the lake to raw.{contract.table}",
        doc_md=DOC.format(stream=contract.stream, table=contract.table, description=contract.description),
        schedule=contract.load.schedule,
        catchup=False,
        max_active_runs=1,
        dagrun_timeout=timedelta(minutes=30),
        is_paused_upon_creation=False,
        deadline=DeadlineAlert(
            reference=DeadlineReference.DAGRUN_QUEUED_AT,
            interval=contract.load.overdue,
            callback=SyncCallback(
                load_is_overdue,
                kwargs={"stream": contract.stream, "minutes": contract.load.overdue // timedelta(minutes=1)},
            ),
            name="overdue",
        ),
        default_args=DEFAULT_ARGS | {"owner": contract.owner},
        tags=["load", contract.stream],
    ) as dag:
        LoadOperator(
            task_id="load",
            stream=contract.stream,
            outlets=[raw_table(contract), REBUILT],
            doc_md=f"Loads `{contract.stream}` from the ledger's head to the lake's.",
        )
    return dag
