"""Following runs: what is shown, and what becomes of failures."""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest

from sluice.errors import TerminalError, TransientError
from sluice.orchestration import follow as following
from sluice.orchestration.follow import Run, follow, follow_backfill, wait_for_dags
from sluice.orchestration.rest import Json, NoDagError


class Server:
    """An Airflow that tells a prepared story: each look at a run gives its next (run state, task state)."""

    def __init__(self, stories: dict[str, list[tuple[str, str]]], log: list[Json] | None = None) -> None:
        self.stories = stories
        self.at = dict.fromkeys(stories, -1)
        self.entries = log or []
        self.absent = 0

    def run(self, dag_id: str, run_id: str) -> Json:
        if self.absent:
            self.absent -= 1
            raise TransientError("not there")
        self.at[dag_id] = min(self.at[dag_id] + 1, len(self.stories[dag_id]) - 1)
        return {"state": self.stories[dag_id][self.at[dag_id]][0]}

    def tasks(self, dag_id: str, run_id: str) -> list[Json]:
        state = self.stories[dag_id][self.at[dag_id]][1]
        return [{"task_id": "task", "state": state or None, "try_number": 1, "duration": 1.5}]

    def figures(self, dag_id: str, run_id: str, task_id: str) -> Any:
        return {"rows": 26483, "summary": "26,483 rows"}

    def log(self, dag_id: str, run_id: str, task_id: str, attempt: int) -> list[Json]:
        return self.entries

    def unhealthy(self) -> list[str]:
        return ["scheduler"]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(following, "POLL", timedelta(0))
    yield


def shown(server: Server, *dags: str) -> list[str]:
    lines: list[str] = []
    follow(server, [Run(dag, "1") for dag in dags], lines.append)  # type: ignore[arg-type]
    return lines


def test_each_change_is_one_line_with_the_figures_at_the_end() -> None:
    server = Server({"a": [("queued", ""), ("running", "running"), ("running", "running"), ("success", "success")]})
    assert shown(server, "a") == ["a.task: running", "a.task: success, 1.5 s: 26,483 rows"]


def test_a_run_that_is_not_begun_says_that_it_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "_SILENCE", -1.0)
    server = Server({"a": [("queued", ""), ("queued", ""), ("success", "success")]})
    assert shown(server, "a") == ["a: waits for its turn", "a.task: success, 1.5 s: 26,483 rows"]


def test_all_runs_are_followed_to_their_end_and_failures_named() -> None:
    log = [
        {"event": "::group::Pre Execute"},
        {"event": "took 3 rows", "timestamp": "2026-01-01T10:00:00Z"},
        {"event": "Task failed", "error_detail": [{"exc_type": "TerminalError", "exc_value": "raw.x is gone"}]},
    ]
    story = {"a": [("failed", "failed")], "b": [("running", "running"), ("success", "success")]}
    server = Server(story, log)
    lines: list[str] = []
    with pytest.raises(TerminalError) as caught:
        follow(server, [Run("a", "1"), Run("b", "1")], lines.append)  # type: ignore[arg-type]
    assert str(caught.value) == "a.task failed in run 1: raw.x is gone"
    assert "b.task: success, 1.5 s: 26,483 rows" in lines
    assert "  10:00:00 took 3 rows" in lines


def test_a_server_that_restarts_is_waited_for() -> None:
    server = Server({"a": [("success", "skipped")]})
    server.absent = 3
    assert shown(server, "a") == ["a.task: skipped, 1.5 s"]


def test_a_server_that_stays_away_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "PATIENCE", timedelta(0))
    server = Server({"a": [("running", "running")]})
    with pytest.raises(TransientError, match="scheduler"):
        shown(server, "a")


class Backfilled(Server):
    """An Airflow whose backfill is at the next of some states, a run's each, whenever its runs are counted."""

    def __init__(self, *states: list[str], log: list[Json] | None = None) -> None:
        super().__init__({"rebuild": [("failed", "failed")]}, log)
        self.at["rebuild"] = 0
        self.looks = iter(states)
        self.states = states[-1]

    def count_backfill_runs(self, dag_id: str, first: date, last: date, states: tuple[str, ...]) -> int:
        return sum(state in states for state in next(self.looks))

    def backfill_runs(self, dag_id: str, first: date, last: date) -> list[Json]:
        return [
            {"state": state, "dag_run_id": str(n), "logical_date": f"{first + timedelta(days=n)}T00:00:00Z"}
            for n, state in enumerate(self.states)
        ]


def test_a_backfill_is_followed_until_every_date_has_ended() -> None:
    server = Backfilled(["queued", "queued"], ["success", "running"], ["success", "success"])
    lines: list[str] = []
    follow_backfill(server, "rebuild", date(2013, 1, 1), date(2013, 1, 2), lines.append)  # type: ignore[arg-type]
    assert [line.split(" dates")[0] for line in lines] == [f"rebuild: {n} of 2" for n in range(3)]


def test_a_long_backfill_does_not_say_everything() -> None:
    server = Backfilled(*(["success"] * n + ["queued"] * (300 - n) for n in range(301)))
    lines: list[str] = []
    first = date(2013, 1, 1)
    follow_backfill(server, "rebuild", first, first + timedelta(days=299), lines.append)  # type: ignore[arg-type]
    assert 40 < len(lines) < 60
    assert lines[-1].startswith("rebuild: 300 of 300 dates")


def test_dates_that_failed_are_named() -> None:
    server = Backfilled(["success", "failed"], log=[{"event": "no such file", "level": "error"}])
    with pytest.raises(TerminalError, match=r"1 of 2 dates were not rebuilt \(2013-01-02\).*no such file"):
        follow_backfill(server, "rebuild", date(2013, 1, 1), date(2013, 1, 2), print)  # type: ignore[arg-type]


def test_dags_that_are_not_read_yet_are_waited_for_and_a_missing_server_is_not() -> None:
    class Young:
        looks = 0

        def dag(self, dag_id: str) -> Json:
            self.looks += 1
            if self.looks < 3:
                raise NoDagError(dag_id)
            return {}

    class Gone:
        def dag(self, dag_id: str) -> Json:
            raise TransientError("not there")

    young = Young()
    wait_for_dags(young, ["transform"])  # type: ignore[arg-type]
    assert young.looks == 3
    with pytest.raises(TransientError, match="not there"):
        wait_for_dags(Gone(), ["transform"])  # type: ignore[arg-type]
