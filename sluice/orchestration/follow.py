"""Follows DAG runs until they end, and says what became of each."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from typing import TypeVar

from sluice.errors import TerminalError, TransientError
from sluice.orchestration.rest import Airflow, Json, NoDagError, new_run_id

POLL = timedelta(seconds=1)
PATIENCE = timedelta(minutes=2)
"""How long Airflow may not answer, or stand still with a broken part, before it is given up: it restarts faster."""
_LOG_LINES = 12
_FRAME = (
    "::",
    "DAG bundles loaded",
    "Filling up the DagBag",
    "Worker startup",
    "Pushing xcom",
    "Task failed with",
    "Retry",
)
"""How the lines begin that Airflow writes around a task's own."""
_ENDED = ("success", "failed")
_STEPS = 50
"""About how many lines a long backfill is worth."""
_SILENCE = 4.0
"""Seconds after which a run that has not begun is worth a line: another run of its DAG is before it."""
_TOLD = (*_ENDED, "skipped", "running", "up_for_retry", "upstream_failed")
"""Task states worth a line; through the others it passes within a second."""

Show = Callable[[str], None]
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Run:
    """A run to follow."""

    dag_id: str
    run_id: str


def wait_for_dags(airflow: Airflow, dag_ids: Iterable[str], patience: timedelta = PATIENCE) -> None:
    """Waits until Airflow, which may have come up just now, has read the DAG files.

    Raises:
        TransientError: a DAG is still not there after ``patience``, or Airflow is not.
    """
    for dag_id in dag_ids:
        retry_until(partial(airflow.dag, dag_id), patience, NoDagError)


def start(airflow: Airflow, dag_id: str) -> Run:
    """Asks for a run of a DAG. An answer that is lost or late is no fault: the same run is asked for again.

    Raises:
        TerminalError: the DAG is paused.
        TransientError: Airflow does not answer.
    """
    run = Run(dag_id, new_run_id())
    retry_until(partial(airflow.trigger, dag_id, run.run_id))
    return run


def follow(airflow: Airflow, runs: Sequence[Run], show: Show) -> None:
    """Follows runs until all have ended; shows a line whenever a task's state changes.

    Raises:
        TerminalError: some failed; named, with the error of the first and its log shown before.
        TransientError: Airflow stopped answering.
    """
    seen: dict[tuple[str, str], str] = {}
    left, failed = list(runs), list[Run]()
    told: set[Run] = set()
    began = idle_since = time.monotonic()
    while left:
        for run in list(left):
            # The state first: once it is the last one, so are those of the tasks.
            state = retry_until(partial(airflow.run, run.dag_id, run.run_id))["state"]
            for task in retry_until(partial(airflow.tasks, run.dag_id, run.run_id)):
                key, now = (run.dag_id, task["task_id"]), task["state"]
                if now in _TOLD and seen.get(key) != now:
                    seen[key] = now
                    idle_since = time.monotonic()
                    show(_line(airflow, run, task))
            if state == "queued" and time.monotonic() - began > _SILENCE and run not in told:
                told.add(run)
                show(f"{run.dag_id}: waits for its turn")
            if state in _ENDED:
                left.remove(run)
                failed += [run] if state == "failed" else []
        if time.monotonic() - idle_since > PATIENCE.total_seconds():
            _still_works(airflow)
            idle_since = time.monotonic()
        if left:
            time.sleep(POLL.total_seconds())
    if failed:
        raise _failure(airflow, failed, show)


def follow_backfill(airflow: Airflow, dag_id: str, first: date, last: date, show: Show) -> None:
    """Follows a backfill of a range of dates, both ends included, until every run of it has ended.

    Shows a line when more have, fifty in all of a long one.

    Raises:
        TerminalError: some runs failed; their dates are named.
        TransientError: Airflow stopped answering.
    """
    count = (last - first).days + 1
    began = idle_since = time.monotonic()
    done = told = -1
    while done < count:
        now = retry_until(partial(airflow.count_backfill_runs, dag_id, first, last, _ENDED))
        if now != done:
            done, idle_since = now, time.monotonic()
        if done == count or done - told > count // _STEPS:
            told, passed = done, time.monotonic() - began
            remaining = f", about {passed / done * (count - done):.0f} s to go" if 0 < done < count else ""
            show(f"{dag_id}: {done} of {count} dates, {passed:.0f} s{remaining}")
        if time.monotonic() - idle_since > PATIENCE.total_seconds():
            _still_works(airflow)
            idle_since = time.monotonic()
        if done < count:
            time.sleep(POLL.total_seconds())
    runs = retry_until(lambda: list(airflow.backfill_runs(dag_id, first, last)))
    failed = [run for run in runs if run["state"] == "failed"]
    if failed:
        error = _failure(airflow, [Run(dag_id, failed[0]["dag_run_id"])], show)
        dates = ", ".join(run["logical_date"][:10] for run in failed)
        raise TerminalError(f"{len(failed)} of {count} dates were not rebuilt ({dates}): {error.message}", error.hint)


def _line(airflow: Airflow, run: Run, task: Json) -> str:
    line = f"{run.dag_id}.{task['task_id']}: {task['state']}"
    if task["try_number"] > 1:
        line += f" (attempt {task['try_number']})"
    if task["state"] not in ("success", "failed", "skipped"):
        return line
    line += f", {task['duration'] or 0:.1f} s"
    if task["state"] != "success":
        return line
    figures = retry_until(partial(airflow.figures, run.dag_id, run.run_id, task["task_id"]))
    return line + (f": {figures['summary']}" if isinstance(figures, dict) and "summary" in figures else "")


def _failure(airflow: Airflow, failed: Sequence[Run], show: Show) -> TerminalError:
    first = failed[0]
    others = "".join(f", {run.dag_id}" for run in failed[1:])
    tasks = [
        task for task in retry_until(partial(airflow.tasks, first.dag_id, first.run_id)) if task["state"] == "failed"
    ]
    if not tasks:
        return TerminalError(
            f"{first.dag_id}{others} failed without a failed task: its time was up", "see its run's page"
        )
    task = tasks[0]
    entries = retry_until(partial(airflow.log, first.dag_id, first.run_id, task["task_id"], task["try_number"]))
    told = [entry for entry in entries if not entry["event"].startswith(_FRAME)]
    for entry in told[-_LOG_LINES:]:
        show(f"  {_clock(entry)}{entry['event']}")
    return TerminalError(f"{first.dag_id}.{task['task_id']}{others} failed in run {first.run_id}: {_error(entries)}")


def _error(entries: Sequence[Json]) -> str:
    """The last error that a log tells of: the exception's own words, where there was one."""
    for entry in reversed(entries):
        for error in entry.get("error_detail") or ():
            own = error["exc_type"] in (TerminalError.__name__, TransientError.__name__)
            return str(error["exc_value"]) if own else f"{error['exc_type']}: {error['exc_value']}"
    faults = [entry["event"] for entry in entries if entry.get("level") in ("error", "critical")]
    return faults[-1] if faults else "its log names no error"


def _clock(entry: Json) -> str:
    stamp = entry.get("timestamp")
    return f"{datetime.fromisoformat(stamp):%H:%M:%S} " if stamp else ""


def _still_works(airflow: Airflow) -> None:
    if broken := airflow.unhealthy():
        raise TransientError(f"nothing moves: Airflow says that its {', '.join(broken)} is broken", "see `make status`")


def retry_until(
    ask: Callable[[], Answer], patience: timedelta = PATIENCE, excuse: type[TransientError] = TransientError
) -> Answer:
    """Asks until there is an answer: a server that is killed comes back within seconds, and the run goes on."""
    until = time.monotonic() + patience.total_seconds()
    while True:
        try:
            return ask()
        except excuse:
            if time.monotonic() > until:
                raise
        time.sleep(POLL.total_seconds())
