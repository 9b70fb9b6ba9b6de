"""Following runs: what is shown, and how failures are reported."""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest

from sluice.errors import TerminalError, TransientError
from sluice.orchestration import follow as follow_module
from sluice.orchestration.follow import Run, follow, follow_backfill, wait_for_dags
from sluice.orchestration.rest import DagNotFoundError, Json


class ScriptedAirflow:
    """Each request for a run returns the next (run state, task state) of its DAG's script."""

    def __init__(self, scripts: dict[str, list[tuple[str, str]]], log: list[Json] | None = None) -> None:
        self.scripts = scripts
        self.position = dict.fromkeys(scripts, -1)
        self.entries = log or []
        self.failing_requests = 0

    def run(self, dag_id: str, run_id: str) -> Json:
        if self.failing_requests:
            self.failing_requests -= 1
            raise TransientError("down")
        self.position[dag_id] = min(self.position[dag_id] + 1, len(self.scripts[dag_id]) - 1)
        return {"state": self.scripts[dag_id][self.position[dag_id]][0]}

    def tasks(self, dag_id: str, run_id: str) -> list[Json]:
        state = self.scripts[dag_id][self.position[dag_id]][1]
        return [{"task_id": "task", "state": state or None, "try_number": 1, "duration": 1.5}]

    def return_value(self, dag_id: str, run_id: str, task_id: str) -> Any:
        return {"rows": 26483, "summary": "26,483 rows"}

    def log(self, dag_id: str, run_id: str, task_id: str, attempt: int) -> list[Json]:
        return self.entries

    def unhealthy_components(self) -> list[str]:
        return ["scheduler"]


@pytest.fixture(autouse=True)
def no_delay(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(follow_module, "POLL", timedelta(0))
    yield


def shown(airflow: ScriptedAirflow, *dags: str) -> list[str]:
    lines: list[str] = []
    follow(airflow, [Run(dag, "1") for dag in dags], lines.append)  # type: ignore[arg-type]
    return lines


def test_each_change_of_state_is_one_line_with_the_summary_at_the_end() -> None:
    airflow = ScriptedAirflow(
        {"a": [("queued", ""), ("running", "running"), ("running", "running"), ("success", "success")]}
    )
    assert shown(airflow, "a") == ["a.task: running", "a.task: success, 1.5 s: 26,483 rows"]


def test_a_run_queued_behind_another_is_reported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow_module, "_QUEUED_SECONDS", -1.0)
    airflow = ScriptedAirflow({"a": [("queued", ""), ("queued", ""), ("success", "success")]})
    assert shown(airflow, "a") == ["a: queued behind another run", "a.task: success, 1.5 s: 26,483 rows"]


def test_all_runs_are_followed_to_the_end_and_failures_are_named() -> None:
    log = [
        {"event": "::group::Pre Execute"},
        {"event": "took 3 rows", "timestamp": "2026-01-01T10:00:00Z"},
        {"event": "Task failed", "error_detail": [{"exc_type": "TerminalError", "exc_value": "raw.x is gone"}]},
    ]
    scripts = {"a": [("failed", "failed")], "b": [("running", "running"), ("success", "success")]}
    airflow = ScriptedAirflow(scripts, log)
    lines: list[str] = []
    with pytest.raises(TerminalError) as caught:
        follow(airflow, [Run("a", "1"), Run("b", "1")], lines.append)  # type: ignore[arg-type]
    assert str(caught.value) == "a.task failed in run 1: raw.x is gone"
    assert "b.task: success, 1.5 s: 26,483 rows" in lines
    assert "  10:00:00 took 3 rows" in lines


def test_a_restart_of_airflow_is_waited_for() -> None:
    airflow = ScriptedAirflow({"a": [("success", "skipped")]})
    airflow.failing_requests = 3
    assert shown(airflow, "a") == ["a.task: skipped, 1.5 s: its log has no reason"]


def test_a_skipped_task_says_why() -> None:
    log: list[Json] = [{"event": "took 0 rows"}, {"event": "Skipping task.", "reason": "a: the lake has nothing new"}]
    airflow = ScriptedAirflow({"a": [("success", "skipped")]}, log)
    assert shown(airflow, "a") == ["a.task: skipped, 1.5 s: a: the lake has nothing new"]


def test_ctrl_c_says_which_runs_continue(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    airflow = ScriptedAirflow({"a": [("running", "running")], "b": [("success", "success")]})
    monkeypatch.setattr(follow_module.time, "sleep", interrupt)
    lines: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        follow(airflow, [Run("a", "1"), Run("b", "1")], lines.append)  # type: ignore[arg-type]
    assert lines[-1] == "interrupted: a continues in Airflow; the same command follows the next run"


def test_no_progress_with_an_unhealthy_component_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow_module, "TIMEOUT", timedelta(0))
    airflow = ScriptedAirflow({"a": [("running", "running")]})
    with pytest.raises(TransientError, match="Airflow reports unhealthy: scheduler"):
        shown(airflow, "a")


class BackfillingAirflow(ScriptedAirflow):
    """Each count of a backfill's runs uses the next list of run states, one per date."""

    def __init__(self, *states: list[str], log: list[Json] | None = None) -> None:
        super().__init__({"reprocess": [("failed", "failed")]}, log)
        self.position["reprocess"] = 0
        self.states_per_count = iter(states)
        self.final_states = states[-1]

    def count_backfill_runs(self, dag_id: str, first: date, last: date, states: tuple[str, ...]) -> int:
        return sum(state in states for state in next(self.states_per_count))

    def backfill_runs(self, dag_id: str, first: date, last: date) -> list[Json]:
        return [
            {"state": state, "dag_run_id": str(n), "logical_date": f"{first + timedelta(days=n)}T00:00:00Z"}
            for n, state in enumerate(self.final_states)
        ]


def test_a_backfill_is_followed_until_every_date_has_ended() -> None:
    airflow = BackfillingAirflow(["queued", "queued"], ["success", "running"], ["success", "success"])
    lines: list[str] = []
    follow_backfill(airflow, "reprocess", date(2013, 1, 1), date(2013, 1, 2), lines.append)  # type: ignore[arg-type]
    assert [line.split(" dates")[0] for line in lines] == [f"reprocess: {n} of 2" for n in range(3)]


def test_a_long_backfill_shows_about_fifty_lines() -> None:
    airflow = BackfillingAirflow(*(["success"] * n + ["queued"] * (300 - n) for n in range(301)))
    lines: list[str] = []
    first = date(2013, 1, 1)
    follow_backfill(airflow, "reprocess", first, first + timedelta(days=299), lines.append)  # type: ignore[arg-type]
    assert 40 < len(lines) < 60
    assert lines[-1].startswith("reprocess: 300 of 300 dates")


def test_failed_dates_are_named() -> None:
    airflow = BackfillingAirflow(["success", "failed"], log=[{"event": "no such file", "level": "error"}])
    with pytest.raises(TerminalError, match=r"1 of 2 dates failed \(2013-01-02\).*no such file"):
        follow_backfill(airflow, "reprocess", date(2013, 1, 1), date(2013, 1, 2), print)  # type: ignore[arg-type]


def test_unread_dags_are_waited_for_and_an_unreachable_server_is_not() -> None:
    class Starting:
        requests = 0

        def dag(self, dag_id: str) -> Json:
            self.requests += 1
            if self.requests < 3:
                raise DagNotFoundError(dag_id)
            return {}

    class Down:
        def dag(self, dag_id: str) -> Json:
            raise TransientError("down")

    starting = Starting()
    wait_for_dags(starting, ["transform"])  # type: ignore[arg-type]
    assert starting.requests == 3
    with pytest.raises(TransientError, match="down"):
        wait_for_dags(Down(), ["transform"])  # type: ignore[arg-type]
