"""The DAG transform: rebuilds the marts of stale dates."""

from datetime import timedelta

from airflow.sdk import DAG, AssetAny, TriggerRule, chain

from sluice.contracts import load_contracts
from sluice.orchestration.assets import DASHBOARD, STAGING, marts, raw_table
from sluice.orchestration.docs import render
from sluice.orchestration.retries import DEFAULT_ARGS, FIRST
from sluice.orchestration.transforms import (
    BuildOperator,
    DocumentOperator,
    PlanOperator,
    PublishOperator,
    ReportTestsOperator,
)
from sluice.settings import load_settings

DOC = """
### Raw tables → marts

`plan → build → test → publish → document`, with one dbt invocation for exactly the dates that have become stale since
the last run, regardless of how many loads triggered it. A lock ensures that two transforms never run at the same time.

- **plan** lists the stale dates; if there are none, the other tasks are skipped
- **build** runs dbt in `staging`; a retried or cleared task resumes where dbt stopped
- **test** reports dbt's tests; a retried or cleared task runs those that failed again
- **publish** shows readers all changes at once; a failure holds back only the marts that are built from what failed
- **document** regenerates [the documentation of the models]({dbt}), if a model or a contract has changed

**Asset graph**: [the marts]({airflow}/assets?name_pattern=marts), back to Kafka's topics, with the figures of each run.
**When**: after loads, or `make transform`. **When it fails**: {on_failure}, with those after it.
**See** [stale dates]({dashboard}/pipeline), [the results]({dashboard}/flights), [lineage]({dbt}), [the lake]({lake}).
"""
SETTINGS = load_settings()
RAW = [raw_table(contract) for contract in load_contracts(SETTINGS.contracts).values()]
MARTS = marts(SETTINGS.dbt)
SHOWN = [*MARTS, DASHBOARD]  # Readers see both change, also in a run that leaves the documentation as it is.
ANYWAY = TriggerRule.NONE_SKIPPED  # A failure holds back only the marts that are built from it.

with DAG(
    dag_id="transform",
    description="rebuilds the marts of stale dates",
    doc_md=render(DOC, SETTINGS),
    schedule=AssetAny(*RAW) if RAW else None,
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=2),
    is_paused_upon_creation=False,
    default_args=DEFAULT_ARGS | FIRST | {"owner": "analytics", "execution_timeout": timedelta(hours=1)},
    tags=["transform", "dbt"],
):
    chain(
        PlanOperator(task_id="plan", doc_md="Lists the stale dates. Its XCom holds them."),
        BuildOperator(task_id="build", inlets=RAW, outlets=[STAGING], doc_md="Runs dbt. Its log is dbt's."),
        ReportTestsOperator(task_id="test", doc_md="Reports the tests that dbt has run."),
        PublishOperator(task_id="publish", trigger_rule=ANYWAY, inlets=[STAGING], outlets=SHOWN, doc_md="Publishes."),
        DocumentOperator(task_id="document", inlets=MARTS, outlets=[DASHBOARD], doc_md="Documents the models."),
    )
