"""The DAG transform: rebuilds the marts from the dates that loads have touched."""

from datetime import timedelta

from airflow.sdk import DAG, AssetAny

from sluice.contracts import load_contracts
from sluice.orchestration.assets import raw_table
from sluice.orchestration.docs import render
from sluice.orchestration.operators import TransformOperator
from sluice.orchestration.retries import DEFAULT_ARGS
from sluice.settings import load_settings

DOC = """
### raw.* → staging.* and marts.*

Runs when any raw table has new dates. One dbt invocation rebuilds exactly the dates that were touched since the last
one, however many loads asked for it: loads that end during a run are taken by one next run, not by one each.

- readers see all of it at once, when everything is built and tested; a failed run leaves the marts as they were
- with nothing touched it ends at once, without starting dbt
- a retried or cleared task goes on where dbt stopped (`dbt retry`)
- two at once wait for each other
- where a model or a contract has changed, dbt writes [the models' documentation]({dbt}) anew

**When**: after loads, or `make transform`. **When it fails**: {on_failure}: with a model mended, it goes on from there.
**See** [which dates wait]({dashboard}/pipeline), [the figures]({dashboard}/flights), [the lineage]({dbt}) and
[the lake where all of it began]({lake}).
"""
TASK = (
    "One dbt invocation over all touched dates. Its log is dbt's, model by model; its XCom says which dates it built."
)
SETTINGS = load_settings()

with DAG(
    dag_id="transform",
    description="rebuilds the marts from the dates that loads have touched",
    doc_md=render(DOC, SETTINGS),
    schedule=AssetAny(*(raw_table(contract) for contract in load_contracts(SETTINGS.contracts).values())),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=2),
    is_paused_upon_creation=False,
    default_args=DEFAULT_ARGS | {"owner": "analytics", "execution_timeout": timedelta(hours=1)},
    tags=["transform", "dbt"],
):
    TransformOperator(task_id="transform", doc_md=TASK)
