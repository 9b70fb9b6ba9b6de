"""What Airflow's database says is wrong: failed runs, overdue loads, and DAG files that cannot be imported."""

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta

import psycopg

from sluice.alerts.store import Problem, Run
from sluice.contracts import Contract
from sluice.errors import TerminalError, TransientError
from sluice.settings import Settings
from sluice.warehouse import connect
from sluice.warehouse.connect import AIRFLOW
from sluice.warehouse.failures import is_transient

REFUSED = "refused"
"""The key of the XCom of a run that refuses its parameters: nothing is wrong with the platform."""
# A run that a backfill has created stands for its own date: only its own repetition makes up for it. Any other run is
# made up for by the next success of its DAG, whatever has created that: a run that was triggered and ended later
# than it. Runs overlap: a success that was already under way makes up for nothing.
_FAILED = """
with ended as (
    select r.dag_id, r.run_id, r.state, r.run_type = 'backfill' as backfill, r.end_date,
        coalesce(r.queued_at, r.start_date, r.end_date) as triggered_at
    from dag_run r join dag using (dag_id)
    where not dag.is_stale and r.state in ('success', 'failed') and not exists (
        select from xcom x where x.dag_id = r.dag_id and x.run_id = r.run_id and x.key = 'refused'
    )
),
failed as (
    select f.*, count(*) over same as failures, row_number() over (same order by f.end_date desc, f.run_id) as number
    from ended f
    where f.state = 'failed' and (f.backfill or not exists (
        select from ended s
        where s.dag_id = f.dag_id and s.state = 'success' and s.triggered_at >= f.triggered_at
            and s.end_date >= f.end_date
    ))
    window same as (partition by f.dag_id, f.backfill)
)
select f.dag_id, f.run_id, case when f.backfill then f.failures else 0 end,
    array(
        select task_id from task_instance t
        where t.dag_id = f.dag_id and t.run_id = f.run_id and t.state = 'failed'
        group by task_id order by min(start_date), task_id
    )
from failed f
where f.number = 1
order by f.dag_id, f.backfill desc"""
_ACTIVE = """
select distinct on (dag_id) dag_id, run_id, extract(epoch from now() - queued_at)::float8
from dag_run where state in ('queued', 'running') and dag_id = any(%s)
order by dag_id, queued_at"""
_PAUSED = """
select dag_id, extract(epoch from now() - max(queued_at))::float8
from dag left join dag_run using (dag_id)
where is_paused and not is_stale and dag_id = any(%s)
group by dag_id"""


def failed_runs(settings: Settings, reported: Collection[Run] = ()) -> dict[str, Problem]:
    """Returns, by DAG, the problem of the latest failed run that nothing has made up for yet.

    Of a DAG's backfills, these are all runs that failed and were not repeated with success; of its other runs, those
    without a later success of the DAG.

    DAGs that Airflow no longer has, such as the load of a removed contract, are left out, and so are runs that have
    refused their parameters.

    Args:
        settings: with the reader's password.
        reported: runs whose failure another alert reports.

    Raises:
        TransientError, TerminalError: Postgres is down or rejects the query.
    """
    problems: dict[str, Problem] = {}
    for dag_id, run_id, backfills, tasks in _query(settings, _FAILED):
        run = Run(str(dag_id), str(run_id))
        if run in reported:
            continue
        place = _place(tasks if isinstance(tasks, list) else [])
        others = int(str(backfills)) - 1
        more = f", and {others} more of its backfills failed" if others > 0 else ""
        problems[run.dag_id] = Problem(f"run {run.run_id} failed {place}{more}", run)
    return problems


def _place(tasks: Sequence[str]) -> str:
    if not tasks:
        return "without a failed task: it timed out"
    *others, last = tasks
    return f"in the tasks {', '.join(others)} and {last}" if others else f"in the task {last}"


def overdue_loads(settings: Settings, contracts: Mapping[str, Contract]) -> dict[str, str | Problem]:
    """Returns the problem of each stream whose load has not ended, or not begun, in the contract's ``load.overdue``.

    A load that has failed has ended; ``failed_runs`` reports it. A load that does not begin is one that is paused.

    Raises:
        TransientError, TerminalError: Postgres is down or rejects the query.
    """
    streams = {contract.dag_id: contract for contract in contracts.values()}
    problems: dict[str, str | Problem] = {}
    for dag_id, since in _query(settings, _PAUSED, (list(streams),)):
        contract = streams[str(dag_id)]
        if since is None or float(str(since)) > contract.load.overdue.total_seconds():
            resume = f'make airflow A="dags unpause {dag_id}"'
            problems[contract.stream] = f"the DAG {dag_id} is paused; `{resume}` resumes it"
    for dag_id, run_id, seconds in _query(settings, _ACTIVE, (list(streams),)):
        run, contract = Run(str(dag_id), str(run_id)), streams[str(dag_id)]
        if float(str(seconds)) > contract.load.overdue.total_seconds():
            minutes = contract.load.overdue // timedelta(minutes=1)
            message = f"run {run.run_id} has not ended {minutes} minutes after it was due"
            problems[contract.stream] = Problem(message, run)
    return problems


def import_errors(settings: Settings) -> dict[str, str]:
    """Returns the error of each DAG file that Airflow cannot import.

    Raises:
        TransientError, TerminalError: Postgres is down or rejects the query.
    """
    rows = _query(settings, "select filename, stacktrace from import_error order by id")
    return {f"dags/{file}": _last_line(str(trace or "")) for file, trace in rows}


def _last_line(trace: str) -> str:
    lines = trace.strip().splitlines()
    return f"{lines[-1].strip() if lines else 'it cannot be imported'}; fix that file, its DAGs do not run"


def _query(settings: Settings, query: str, values: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    try:
        with connect(settings, "reader", AIRFLOW) as airflow:
            return airflow.execute(query.encode(), values).fetchall()
    except psycopg.Error as error:
        message = f"reading Airflow's runs failed: Postgres: {error}"
        if is_transient(error):
            raise TransientError(message, "see `make logs S=postgres`") from error
        raise TerminalError(message, "run `make up`, which lets the reader see them") from error
