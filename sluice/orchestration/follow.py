"""Follows DAG runs until they end, and reports how each ended."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from typing import TypeVar

from sluice.errors import TerminalError, TransientError
from sluice.orchestration.rest import Airflow, DagNotFoundError, Json, new_run_id

POLL = timedelta(seconds=1)
TIMEOUT = timedelta(minutes=2)
"""How long Airflow may be down, or make no progress while unhealthy, before waiting ends: a restart takes less."""
_LOG_LINES = 12
_AIRFLOW_PREFIXES = (
    "::",
    "DAG bundles loaded",
    "Filling up the DagBag",
    "Worker startup",
    "Pushing xcom",
    "Task failed with",
    "Retry",
)
"""Prefixes of the lines that Airflow adds to a task's log."""
_FINAL = ("success", "failed")
_MAX_LINES = 50
"""About how many progress lines a long backfill prints."""
_QUEUED_SECONDS = 4.0
"""Seconds after which a queued run is reported: another run of its DAG is active."""
_REPORTED = (*_FINAL, "skipped", "running", "up_for_retry", "upstream_failed")
"""Task states that are reported; a task passes through the others within a second."""

Show = Callable[[str], None]
"""Receives one progress line."""
T = TypeVar("T")


@dataclass(frozen=True)
class Run:
    """A run to follow."""

    dag_id: str
    run_id: str


def wait_for_dags(airflow: Airflow, dag_ids: Iterable[str], timeout: timedelta = TIMEOUT) -> None:
    """Waits until Airflow, which may have just started, has read the DAG files.

    Raises:
        TransientError: a DAG is still missing after ``timeout``, or Airflow is down.
    """
    for dag_id in dag_ids:
        retry_until(partial(airflow.dag, dag_id), timeout, DagNotFoundError)


def trigger_run(airflow: Airflow, dag_id: str, conf: Json | None = None) -> Run:
    """Triggers a run of a DAG, with parameters if given. Retries with the same run id: one run, if a response is lost.

    Raises:
        TerminalError: the DAG is paused.
        TransientError: Airflow is down.
    """
    run = Run(dag_id, new_run_id())
    retry_until(partial(airflow.trigger, dag_id, run.run_id, conf))
    return run


def follow(airflow: Airflow, runs: Sequence[Run], show: Show) -> None:
    """Follows runs until all have ended; shows a line whenever a task's state changes.

    Raises:
        TerminalError: some runs failed; the message names them and has the first one's error, after its log is shown.
        TransientError: Airflow went down.
    """
    shown_states: dict[tuple[str, str], str] = {}
    active, failed = list(runs), list[Run]()
    reported_queued: set[str] = set()
    started = idle_since = time.monotonic()
    try:
        while active:
            for run in list(active):
                # Read the run's state before its tasks': once it is final, so are theirs.
                state = retry_until(partial(airflow.run, run.dag_id, run.run_id))["state"]
                for task in retry_until(partial(airflow.tasks, run.dag_id, run.run_id)):
                    key, task_state = (run.dag_id, task["task_id"]), task["state"]
                    if task_state in _REPORTED and shown_states.get(key) != task_state:
                        shown_states[key] = task_state
                        idle_since = time.monotonic()
                        show(_task_line(airflow, run, task))
                is_late = state == "queued" and time.monotonic() - started > _QUEUED_SECONDS
                if is_late and run.dag_id not in reported_queued:
                    reported_queued.add(run.dag_id)
                    show(f"{run.dag_id}: queued behind another run")
                if state in _FINAL:
                    active.remove(run)
                    failed += [run] if state == "failed" else []
            if time.monotonic() - idle_since > TIMEOUT.total_seconds():
                _check_health(airflow)
                idle_since = time.monotonic()
            if active:
                time.sleep(POLL.total_seconds())
    except KeyboardInterrupt:
        names = ", ".join(run.dag_id for run in active)
        verb = "continues" if len(active) == 1 else "continue"
        show(f"interrupted: {names} {verb} in Airflow; the same command follows the next run")
        raise
    if failed:
        raise _failure(airflow, failed, show)


def follow_backfill(airflow: Airflow, dag_id: str, first: date, last: date, show: Show) -> None:
    """Follows a backfill of a range of dates, both ends included, until all its runs have ended.

    Shows a line when more runs have ended, about fifty lines in all for a long backfill.

    Raises:
        TerminalError: some runs failed; the message names their dates.
        TransientError: Airflow went down.
    """
    count = (last - first).days + 1
    started = idle_since = time.monotonic()
    done = shown = -1
    while done < count:
        ended = retry_until(partial(airflow.count_backfill_runs, dag_id, first, last, _FINAL))
        if ended != done:
            done, idle_since = ended, time.monotonic()
        if done == count or done - shown > count // _MAX_LINES:
            shown, elapsed = done, time.monotonic() - started
            remaining = f", about {elapsed / done * (count - done):.0f} s to go" if 0 < done < count else ""
            show(f"{dag_id}: {done} of {count} dates, {elapsed:.0f} s{remaining}")
        if time.monotonic() - idle_since > TIMEOUT.total_seconds():
            _check_health(airflow)
            idle_since = time.monotonic()
        if done < count:
            time.sleep(POLL.total_seconds())
    runs = retry_until(lambda: list(airflow.backfill_runs(dag_id, first, last)))
    failed = [run for run in runs if run["state"] == "failed"]
    if failed:
        error = _failure(airflow, [Run(dag_id, failed[0]["dag_run_id"])], show)
        dates = ", ".join(run["logical_date"][:10] for run in failed)
        raise TerminalError(f"{len(failed)} of {count} dates failed ({dates}): {error.message}", error.hint)


def _task_line(airflow: Airflow, run: Run, task: Json) -> str:
    line = f"{run.dag_id}.{task['task_id']}: {task['state']}"
    if task["try_number"] > 1:
        line += f" (attempt {task['try_number']})"
    if task["state"] not in ("success", "failed", "skipped"):
        return line
    line += f", {task['duration'] or 0:.1f} s"
    if task["state"] == "skipped":
        return f"{line}: {_skip_reason(airflow, run, task)}"
    if task["state"] != "success":
        return line
    result = retry_until(partial(airflow.return_value, run.dag_id, run.run_id, task["task_id"]))
    return line + (f": {result['summary']}" if isinstance(result, dict) and "summary" in result else "")


def _skip_reason(airflow: Airflow, run: Run, task: Json) -> str:
    """Returns why a task was skipped: in its own words if it ran."""
    if not task["try_number"]:
        return "the tasks before it left it nothing to do"
    entries = retry_until(partial(airflow.log, run.dag_id, run.run_id, task["task_id"], task["try_number"]))
    return next((str(entry["reason"]) for entry in entries if entry.get("reason")), "its log has no reason")


def _failure(airflow: Airflow, failed: Sequence[Run], show: Show) -> TerminalError:
    first = failed[0]
    others = "".join(f", {run.dag_id}" for run in failed[1:])
    tasks = [
        task for task in retry_until(partial(airflow.tasks, first.dag_id, first.run_id)) if task["state"] == "failed"
    ]
    if not tasks:
        return TerminalError(
            f"{first.dag_id}{others} failed without a failed task: run {first.run_id} timed out",
            "see the run's page in Airflow",
        )
    # The others may have failed because of the first.
    task = min(tasks, key=lambda task: task.get("start_date") or "")
    entries = retry_until(partial(airflow.log, first.dag_id, first.run_id, task["task_id"], task["try_number"]))
    own_entries = [entry for entry in entries if not entry["event"].startswith(_AIRFLOW_PREFIXES)]
    for entry in own_entries[-_LOG_LINES:]:
        show(f"  {_clock(entry)}{entry['event']}")
    return TerminalError(f"{first.dag_id}.{task['task_id']}{others} failed in run {first.run_id}: {_error(entries)}")


def _error(entries: Sequence[Json]) -> str:
    """Returns the last error in a log: the exception's message, where there was an exception."""
    for entry in reversed(entries):
        for error in entry.get("error_detail") or ():
            is_own = error["exc_type"] in (TerminalError.__name__, TransientError.__name__)
            return str(error["exc_value"]) if is_own else f"{error['exc_type']}: {error['exc_value']}"
    errors = [entry["event"] for entry in entries if entry.get("level") in ("error", "critical")]
    return errors[-1] if errors else "no error in its log"


def _clock(entry: Json) -> str:
    timestamp = entry.get("timestamp")
    return f"{datetime.fromisoformat(timestamp):%H:%M:%S} " if timestamp else ""


def _check_health(airflow: Airflow) -> None:
    if unhealthy := airflow.unhealthy_components():
        raise TransientError(f"Airflow reports unhealthy: {', '.join(unhealthy)}", "see `make status`")


def retry_until(
    call: Callable[[], T], timeout: timedelta = TIMEOUT, retry_on: type[TransientError] = TransientError
) -> T:
    """Calls until it succeeds: a server that was killed is up again within seconds, and the run continues.

    Raises:
        TransientError: ``call`` still fails after ``timeout``.
    """
    deadline = time.monotonic() + timeout.total_seconds()
    while True:
        try:
            return call()
        except retry_on:
            if time.monotonic() > deadline:
                raise
        time.sleep(POLL.total_seconds())
