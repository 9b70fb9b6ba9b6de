"""The DAG rebuild: loads event dates again from the lake, as a backfill."""

from datetime import UTC, datetime, time, timedelta

from airflow.sdk import DAG, CronDataIntervalTimetable, Param

from sluice.contracts import load_contracts
from sluice.orchestration.docs import render
from sluice.orchestration.history import ALL, FIRST_EVENT_DATE, LAST_EVENT_DATE, REPROCESS, WHATS
from sluice.orchestration.operators import ReloadOperator
from sluice.orchestration.retries import DEFAULT_ARGS
from sluice.settings import load_settings

DOC = """
### The lake's history → raw.* again, date by date

A run reloads one event date (UTC), the start of its data interval; the last runs of a backfill wake `transform`, which
rebuilds the marts of all its dates. The schedule ends with the source's last date, so it never runs by itself:

- in the UI: Trigger, Backfill; choose the dates and "all runs" to reprocess
- `make backfill FROM=2013-01-01 TO=2013-01-31`, which also proves what came of it
- `airflow backfill create --dag-id rebuild --from-date … --to-date … --reprocess-behavior completed`

`streams` and `what` limit it. A run's id carries its interval's end: the day after its date.

**When it fails**: {on_failure}, or run the backfill again: it changes nothing that is right.
**See** [the dates]({dashboard}/pipeline), [the lake that they come from]({lake}), [what follows from them]({dbt}).
"""
SETTINGS = load_settings()
CONTRACTS = load_contracts(SETTINGS.contracts)

with DAG(
    dag_id=REPROCESS,
    description="loads event dates again from the lake (make a backfill of it)",
    doc_md=render(DOC, SETTINGS),
    # A data interval per date; the default for cron schedules has none since Airflow 3.
    schedule=CronDataIntervalTimetable("@daily", timezone="UTC"),
    start_date=datetime.combine(FIRST_EVENT_DATE, time(), UTC),
    end_date=datetime.combine(LAST_EVENT_DATE, time(), UTC),
    catchup=False,
    max_active_runs=3,
    dagrun_timeout=timedelta(hours=1),
    is_paused_upon_creation=False,
    default_args=DEFAULT_ARGS | {"owner": "platform"},
    params={
        "streams": Param(list(CONTRACTS), type="array", items={"enum": list(CONTRACTS)}, minItems=1),
        "what": Param(ALL, enum=list(WHATS), description="raw: from the lake; marts: from the raw rows; all: both."),
    },
    render_template_as_native_obj=True,
    tags=["rebuild", "backfill"],
):
    ReloadOperator(
        task_id="reload",
        event_date="{{ data_interval_start.strftime('%Y-%m-%d') }}",
        streams="{{ params.streams }}",  # type: ignore[arg-type]
        what="{{ params.what }}",
        doc_md="Reloads the run's date of every stream asked for. The last run that waits wakes `transform`.",
    )
