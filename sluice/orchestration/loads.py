"""Makes the load DAG of a contract."""

from datetime import timedelta

from airflow.sdk import DAG

from sluice.contracts import Contract
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
