"""The DAG transform: rebuilds the marts of stale dates."""

from datetime import timedelta

from airflow.sdk import DAG, AssetAny

from sluice.contracts import load_contracts
from sluice.orchestration.assets import raw_table
from sluice.orchestration.docs import render
from sluice.orchestration.operators import TransformOperator
from sluice.orchestration.retries import DEFAULT_ARGS
from sluice.settings import load_settings

DOC = """
### Raw tables → marts

Runs when a raw table has stale dates. One dbt invocation rebuilds exactly the dates that have become stale since the
last one, regardless of how many loads triggered it: all loads that end during a run share the next run.

- all changes are published at once, after they are built and tested; a failed model holds back only the marts that are
  built from it
- with no stale date, the run ends at once without starting dbt
- a retried or cleared task resumes where dbt stopped (`dbt retry`)
- a lock ensures that two transforms never run at the same time
- if a model or a contract has changed, dbt regenerates [the documentation of the models]({dbt})

**When**: after loads, or `make transform`. **When it fails**: {on_failure}; it resumes at the failed model.
**See** [pending dates]({dashboard}/pipeline), [the results]({dashboard}/flights), [lineage]({dbt}) and
[the source, the lake]({lake}).
"""
TASK = "One dbt invocation over all stale dates. Its log is dbt's, model by model; its XCom lists the rebuilt dates."
SETTINGS = load_settings()

with DAG(
    dag_id="transform",
    description="rebuilds the marts of stale dates",
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
