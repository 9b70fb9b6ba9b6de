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

# A run that a backfill has created stands for its own date: only its own repetition makes up for it. Any other run is
# made up for by the next success of its DAG, which does what it has left.
_FAILED = """
with ended as (
    select r.dag_id, r.run_id, r.state, r.run_type = 'backfill' as backfill,
        row_number() over (partition by r.dag_id, r.run_type = 'backfill' order by r.end_date desc, r.run_id) as number
    from dag_run r join dag using (dag_id)
    where not dag.is_stale and r.state in ('success', 'failed') and (r.run_type <> 'backfill' or r.state = 'failed')
)
select e.dag_id, e.run_id, (select count(*) from ended o where o.dag_id = e.dag_id and o.backfill and e.backfill),
    array(
        select task_id from task_instance t
        where t.dag_id = e.dag_id and t.run_id = e.run_id and t.state = 'failed'
        group by task_id order by min(start_date), task_id
    )
from ended e
where e.number = 1 and e.state = 'failed'
order by e.dag_id, e.backfill desc"""
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
    """Returns, by DAG, the problem of the latest run, if that failed; of backfills, of all runs that have failed.

    DAGs that Airflow no longer has, such as the load of a removed contract, are left out.

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
