"""The command backfill: what it asks of Airflow, how it goes on, what it refuses, and that it ends in its proof."""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from cli import backfill
from sluice.backfill import Snapshot
from sluice.errors import TerminalError, TransientError
from sluice.orchestration import batch
from sluice.orchestration.rest import Json
from sluice.reconcile import Reconciliation
from sluice.settings import ROOT, Settings
from sluice.warehouse.checksum import Checksum
from tests.unit.conftest import Server

DAYS = ("2013-01-01", "2013-01-02")


class Rebuilding(Server):
    """One whose backfills end as told, a date each."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: dict[str, tuple[str, str]] = {}
        self.open: Json | None = None
        self.outcome = dict.fromkeys(DAYS, "success")
        self.clock = 0

    def close(self) -> None:
        """Not noted: what is looked at here is what the command asks for."""

    def tasks(self, dag_id: str, run_id: str) -> list[Json]:
        return [{"task_id": "t", "state": "failed", "try_number": 1, "duration": 1.0}] if dag_id == "rebuild" else []

    def log(self, dag_id: str, run_id: str, task_id: str, attempt: int) -> list[Json]:
        return [{"event": "the lake is gone", "level": "error"}]

    def open_backfill(self, dag_id: str) -> Json | None:
        return self.open

    def pause_backfill(self, number: int, paused: bool = True) -> None:
        self.asked.append(f"{'pause' if paused else 'unpause'} {number}")

    def backfill(
        self, dag_id: str, first: date, last: date, conf: Json, at_once: int, again: str = "completed"
    ) -> Json:
        self.asked.append((str(first), str(last), conf["what"], conf["streams"], again))
        self.clock += 1
        now = f"2026-01-01T00:00:{self.clock:02}Z"
        for day in DAYS:
            if str(first) <= day <= str(last) and (again == "completed" or self.runs[day][0] == "failed"):
                self.runs[day] = (self.outcome[day], now)
        return {
            "id": 6 + self.clock,
            "created_at": now,
            "from_date": f"{first}T00:00:00Z",
            "to_date": f"{last}T00:00:00Z",
        }

    def count_backfill_runs(self, dag_id: str, first: date, last: date, states: tuple[str, ...]) -> int:
        return sum(run["state"] in states for run in self.backfill_runs(dag_id, first, last))

    def backfill_runs(self, dag_id: str, first: date, last: date) -> Iterator[Json]:
        for day, (state, end) in self.runs.items():
            if str(first) <= day <= str(last):
                yield {"state": state, "dag_run_id": day, "logical_date": f"{day}T00:00:00Z", "end_date": end}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Rebuilding:
    held = Rebuilding()
    monkeypatch.setattr(batch, "Airflow", lambda settings: held)
    rows = iter(range(1, 100))
    monkeypatch.setattr(
        "sluice.backfill.take",
        lambda *_: Snapshot({}, {"a": {date(2013, 1, 1): Checksum(n := next(rows), str(n))}}, {}, {}),
    )
    monkeypatch.setattr("sluice.backfill.snapshot.arrived", lambda *_: {})
    monkeypatch.setattr("sluice.reconcile.reconcile_loaded", lambda *_: Reconciliation())
    return held


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(contracts=ROOT / "contracts", home=tmp_path)


def ask(settings: Settings, what: str = "all", dry_run: bool = False) -> list[str]:
    shown: list[str] = []
    backfill.run_backfill(settings, *DAYS, ["flights.arrived"], what, dry_run, shown.append)
    return "\n".join(shown).splitlines()


def test_a_backfill_is_planned_followed_by_one_transform_and_proved(server: Rebuilding, settings: Settings) -> None:
    lines = ask(settings, "raw")
    assert server.asked == [(*DAYS, "raw", ["flights.arrived"], "completed"), "transform"]
    assert lines[0].startswith("backfill of 2 dates, 2013-01-01 to 2013-01-02: raw rows from the lake")
    # From the figures before, 1 row, to those after it, 2.
    assert "1 of 2 dates changed: raw +1 rows, quarantine +0, marts +0 rows" in lines
    assert not list(settings.home.iterdir())


def test_a_dry_run_shows_the_plan_and_asks_nothing(server: Rebuilding, settings: Settings) -> None:
    lines = ask(settings, dry_run=True)
    assert "2013-01-01            1            0" in lines
    assert server.asked == []
    assert not list(settings.home.iterdir())


def test_dates_that_failed_are_named_the_others_proved_and_the_same_command_does_what_is_left(
    server: Rebuilding, settings: Settings
) -> None:
    server.outcome["2013-01-02"] = "failed"
    with pytest.raises(TerminalError, match=r"1 of 2 dates were not rebuilt \(2013-01-02\).*the lake is gone"):
        ask(settings)
    assert server.asked[1:] == ["transform"]
    server.asked.clear()
    server.outcome["2013-01-02"] = "success"
    lines = ask(settings)
    assert server.asked[0] == ("2013-01-02", "2013-01-02", "all", ["flights.arrived"], "failed")
    assert "1 of these dates are done already, since 2026-01-01T00:00:01Z: the command goes on with the rest" in lines
    # The first command took two snapshots, this one the third: the proof compares it with the very first.
    assert "1 of 2 dates changed: raw +2 rows, quarantine +0, marts +0 rows" in lines


def test_a_command_that_was_stopped_has_paused_its_backfill_and_goes_on_with_it(
    server: Rebuilding, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        server.runs["2013-01-02"] = ("queued", "")
        raise KeyboardInterrupt

    def end(*_: object) -> None:
        server.runs["2013-01-02"] = ("success", "2026-01-01T00:00:09Z")

    monkeypatch.setattr(backfill, "follow_backfill", interrupt)
    with pytest.raises(KeyboardInterrupt):
        ask(settings)
    assert server.asked[1:] == ["pause 7"]
    server.open = {"id": 7, "from_date": f"{DAYS[0]}T00:00:00Z", "to_date": f"{DAYS[1]}T00:00:00Z"}
    server.asked.clear()
    monkeypatch.setattr(backfill, "follow_backfill", end)
    ask(settings)
    assert server.asked == ["unpause 7", "transform"]


def test_a_backfill_that_was_started_elsewhere_is_named(server: Rebuilding, settings: Settings) -> None:
    server.open = {"id": 3, "from_date": f"{DAYS[0]}T00:00:00Z", "to_date": f"{DAYS[0]}T00:00:00Z"}
    server.runs[DAYS[0]] = ("running", "")
    with pytest.raises(TransientError, match=r"backfill 3 of rebuild, 2013-01-01 to 2013-01-01, .* started elsewhere"):
        ask(settings)
    assert server.asked == []


def test_one_that_has_ended_is_waited_for_until_airflow_has_closed_it(
    server: Rebuilding, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[Json | None] = [
        {"id": 3, "from_date": f"{DAYS[0]}T00:00:00Z", "to_date": f"{DAYS[0]}T00:00:00Z"},
        None,
    ]
    monkeypatch.setattr(server, "open_backfill", lambda dag_id: answers.pop(0))
    monkeypatch.setattr(backfill, "POLL", timedelta(0))
    server.runs[DAYS[0]] = ("success", "2026-01-01T00:00:00Z")
    ask(settings)
    assert server.asked[0] == (*DAYS, "all", ["flights.arrived"], "completed")


def test_a_disagreement_is_no_proof(server: Rebuilding, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    found = Reconciliation(faults=["flights.arrived/0 2013-01-01: the lake has 3 rows, the warehouse 2"])
    monkeypatch.setattr("sluice.reconcile.reconcile_loaded", lambda *_: found)
    with pytest.raises(TerminalError, match=r"the proof .* does not hold.* the lake has 3 rows"):
        ask(settings)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("2013-01-02", "2013-01-01", None, "all"), "FROM=2013-01-02 is after TO=2013-01-01"),
        (("2012-01-02", "2013-01-01", None, "all"), "outside the source's event dates"),
        (("2013-01-01", "x", None, "all"), "TO=x is no date"),
        (("2013-01-01", "2013-01-01", ["gates.changed"], "all"), "unknown stream 'gates.changed'"),
        (("2013-01-01", "2013-01-01", None, "most"), "WHAT=most is unknown. Hint: choose from raw, marts, all"),
    ],
)
def test_wrong_input_is_refused_before_anything_is_asked(
    server: Rebuilding, settings: Settings, arguments: tuple[Any, ...], message: str
) -> None:
    with pytest.raises(TerminalError, match=message):
        backfill.run_backfill(settings, *arguments)
    assert server.asked == []
