"""The DAG reprocess: reloads event dates from the lake, as a backfill."""

from datetime import UTC, datetime, time, timedelta

from airflow.sdk import DAG, CronDataIntervalTimetable, Param

from sluice.contracts import load_contracts
from sluice.orchestration.docs import render
from sluice.orchestration.history import ALL, REPROCESS, WHATS, history
from sluice.orchestration.operators import ReloadOperator
from sluice.orchestration.retries import DEFAULT_ARGS
from sluice.settings import load_settings

DOC = """
### Backfills from the lake

Each run reloads one event date (UTC), the start of its data interval. The last runs of a backfill trigger `transform`,
which rebuilds the marts of its dates. If a contract has no `history`, yesterday is reloaded each night. To start it:

- in the UI: Trigger, Backfill; choose the dates and "all runs" to reprocess
- `make backfill FROM=2013-01-01 TO=2013-01-31`, which also verifies the result
- `airflow backfill create --dag-id reprocess --from-date … --to-date … --reprocess-behavior completed`

`streams` and `what` limit the scope. For a date that is not over yet, trigger a run with its `event_date`: backfills
leave it out, and `make backfill` does this by itself. A run's id contains the end of its interval.

**Asset graph**: [the raw tables]({airflow}/assets?name_pattern=raw). **When it fails**: {on_failure}, or run the
backfill again: it is idempotent. **See** [dates]({dashboard}/pipeline), [the lake]({lake}) and [models]({dbt}).
"""
SETTINGS = load_settings()
CONTRACTS = load_contracts(SETTINGS.contracts)
STREAMS, (FIRST, LAST) = [*CONTRACTS], history(CONTRACTS.values())

with DAG(
    dag_id=REPROCESS,
    description="reloads event dates from the lake (run it as a backfill)",
    doc_md=render(DOC, SETTINGS),
    schedule=CronDataIntervalTimetable("@daily", timezone="UTC"),  # With a data interval per date.
    start_date=datetime.combine(FIRST, time(), UTC),
    end_date=datetime.combine(LAST, time(), UTC) if LAST else None,
    catchup=False,
    max_active_runs=3,
    dagrun_timeout=timedelta(hours=1),
    is_paused_upon_creation=False,
    default_args=DEFAULT_ARGS | {"owner": "platform"},
    params={
        "streams": Param(STREAMS, type="array", items={"enum": STREAMS}, minItems=min(1, len(STREAMS))),
        "event_date": Param(None, type=["null", "string"], format="date", description="Replaces the interval's date."),
        "what": Param(ALL, enum=list(WHATS), description="raw: from the lake; marts: from the raw rows; all: both."),
    },
    render_template_as_native_obj=True,
    tags=["reprocess", "backfill"],
):
    ReloadOperator(
        task_id="reload",
        event_date="{{ params.event_date or (data_interval_start | ds if data_interval_start is defined else '') }}",
        streams="{{ params.streams }}",
        what="{{ params.what }}",
        doc_md="Reloads the run's date of every selected stream. The last queued runs trigger `transform`.",
    )
