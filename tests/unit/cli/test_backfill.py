"""The command backfill: its requests to Airflow, resuming, rejected input, and the verification at its end."""

import shutil
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cli import backfill
from cli.cancelled_backfill import cancel_backfill
from sluice.backfill import Snapshot
from sluice.errors import TerminalError, TransientError
from sluice.orchestration import batch, follow
from sluice.orchestration.rest import Json
from sluice.reconcile import Reconciliation
from sluice.settings import ROOT, Settings
from sluice.warehouse.checksum import Checksum
from tests.unit.conftest import FakeAirflow

DAYS = ("2013-01-01", "2013-01-02")
RANGE = (date(2013, 1, 1), date(2013, 1, 2))


def details(*streams: str, last: str | None = "2014-01-01") -> Json:
    """Returns what Airflow says of the DAG."""
    value = list(streams or ("flights.arrived",))
    end = last and f"{last}T00:00:00Z"
    return {"start_date": "2013-01-01T00:00:00Z", "end_date": end, "params": {"streams": {"value": value}}}


class BackfillingAirflow(FakeAirflow):
    """Backfills whose runs, one per date, end with the given outcome."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: dict[str, tuple[str, str]] = {}
        self.open: Json | None = None
        self.outcome = dict.fromkeys(DAYS, "success")
        self.clock = 0
        self.details = [details()]

    def close(self) -> None:
        """Not recorded: only the other requests matter here."""

    def tasks(self, dag_id: str, run_id: str) -> list[Json]:
        return [{"task_id": "t", "state": "failed", "try_number": 1, "duration": 1.0}] if dag_id == "reprocess" else []

    def log(self, dag_id: str, run_id: str, task_id: str, attempt: int) -> list[Json]:
        return [{"event": "the lake is gone", "level": "error"}]

    def dag_details(self, dag_id: str) -> Json:
        return self.details.pop(0) if len(self.details) > 1 else self.details[0]

    def open_backfill(self, dag_id: str) -> Json | None:
        return self.open

    def pause_backfill(self, number: int, paused: bool = True) -> None:
        self.requests.append(f"{'pause' if paused else 'unpause'} {number}")

    def backfill(
        self, dag_id: str, first: date, last: date, conf: Json, max_active_runs: int, reprocess: str = "completed"
    ) -> Json:
        self.requests.append((str(first), str(last), conf["what"], conf["streams"], reprocess))
        self.clock += 1
        now = f"2026-01-01T00:00:{self.clock:02}Z"
        for day in DAYS:
            if str(first) <= day <= str(last) and (reprocess == "completed" or self.runs[day][0] == "failed"):
                self.runs[day] = (self.outcome[day], now)
        return {
            "id": 6 + self.clock,
            "created_at": now,
            "from_date": f"{first}T00:00:00Z",
            "to_date": f"{last}T00:00:00Z",
        }

    def count_backfill_runs(self, dag_id: str, first: date, last: date, states: tuple[str, ...]) -> int:
        return sum(run["state"] in states for run in self.backfill_runs(dag_id, first, last))

    def delete_run(self, dag_id: str, run_id: str) -> bool:
        self.requests.append(f"delete {run_id}")
        return self.runs.pop(run_id, None) is not None

    def backfill_runs(self, dag_id: str, first: date, last: date) -> Iterator[Json]:
        for day, (state, end) in self.runs.items():
            if str(first) <= day <= str(last):
                yield {"state": state, "dag_run_id": day, "logical_date": f"{day}T00:00:00Z", "end_date": end}


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> BackfillingAirflow:
    fake = BackfillingAirflow()
    monkeypatch.setattr(batch, "Airflow", lambda settings: fake)
    rows = iter(range(1, 100))
    monkeypatch.setattr(
        "sluice.backfill.take_snapshot",
        lambda *_: Snapshot({}, {"a": {date(2013, 1, 1): Checksum(n := next(rows), str(n))}}, {}, {}),
    )
    monkeypatch.setattr("sluice.backfill.snapshot.count_arrivals", lambda *_: {})
    monkeypatch.setattr("sluice.reconcile.reconcile_loaded", lambda *_: Reconciliation())
    monkeypatch.setattr("sluice.backfill.history.save_proof", lambda *_: None)
    return fake


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(contracts=ROOT / "contracts", home=tmp_path)


def run(settings: Settings, what: str = "all", dry_run: bool = False) -> list[str]:
    shown: list[str] = []
    backfill.run_backfill(settings, *DAYS, ["flights.arrived"], what, dry_run, shown.append)
    return "\n".join(shown).splitlines()


def test_a_backfill_is_planned_followed_by_one_transform_and_verified(
    airflow: BackfillingAirflow, settings: Settings
) -> None:
    lines = run(settings, "raw")
    assert airflow.requests == [(*DAYS, "raw", ["flights.arrived"], "completed"), "transform"]
    assert lines[0].startswith("backfill of 2 dates, 2013-01-01 to 2013-01-02: raw rows from the lake")
    # The snapshot before has 1 row, the one after it has 2.
    assert "1 of 2 dates changed: raw +1 rows, quarantine +0, marts +0 rows" in lines
    assert not list(settings.home.iterdir())


def test_a_dry_run_shows_the_plan_and_requests_nothing(airflow: BackfillingAirflow, settings: Settings) -> None:
    lines = run(settings, dry_run=True)
    assert "2013-01-01            1            0" in lines
    assert airflow.requests == []
    assert not list(settings.home.iterdir())


def test_failed_dates_are_named_and_the_same_command_retries_only_them(
    airflow: BackfillingAirflow, settings: Settings
) -> None:
    airflow.outcome["2013-01-02"] = "failed"
    with pytest.raises(TerminalError, match=r"1 of 2 dates failed \(2013-01-02\).*the lake is gone"):
        run(settings)
    assert airflow.requests[1:] == ["transform"]
    airflow.requests.clear()
    airflow.outcome["2013-01-02"] = "success"
    lines = run(settings)
    assert airflow.requests[0] == ("2013-01-02", "2013-01-02", "all", ["flights.arrived"], "failed")
    assert "resuming: 1 of these dates are already done, since 2026-01-01T00:00:01Z" in lines
    # The first command took two snapshots, this one the third: it is compared with the first.
    assert "1 of 2 dates changed: raw +2 rows, quarantine +0, marts +0 rows" in lines


def test_an_interrupted_command_pauses_its_backfill_and_resumes_it(
    airflow: BackfillingAirflow, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        airflow.runs["2013-01-02"] = ("queued", "")
        raise KeyboardInterrupt

    def end(*_: object) -> None:
        airflow.runs["2013-01-02"] = ("success", "2026-01-01T00:00:09Z")

    monkeypatch.setattr(backfill, "follow_backfill", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(settings)
    assert airflow.requests[1:] == ["pause 7"]
    airflow.open = {"id": 7, "from_date": f"{DAYS[0]}T00:00:00Z", "to_date": f"{DAYS[1]}T00:00:00Z"}
    airflow.requests.clear()
    monkeypatch.setattr(backfill, "follow_backfill", end)
    run(settings)
    assert airflow.requests == ["unpause 7", "transform"]


def test_an_interrupted_verification_says_so_and_is_resumed(
    airflow: BackfillingAirflow, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    shown: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr("sluice.reconcile.reconcile_loaded", interrupt)
        with pytest.raises(KeyboardInterrupt):
            backfill.run_backfill(settings, *DAYS, ["flights.arrived"], show=shown.append)
    assert shown[-1].startswith("interrupted: all dates have run, and are not verified yet")
    airflow.requests.clear()
    assert "1 of 2 dates changed: raw +2 rows, quarantine +0, marts +0 rows" in run(settings)
    assert not [request for request in airflow.requests if request != "transform"]


def interrupted(airflow: BackfillingAirflow, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Starts a backfill of both days and interrupts it when the second is left."""

    def interrupt(*_: object) -> None:
        airflow.runs["2013-01-02"] = ("queued", "")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(backfill, "follow_backfill", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run(settings)
    ends = {"from_date": f"{DAYS[0]}T00:00:00Z", "to_date": f"{DAYS[1]}T00:00:00Z"}
    monkeypatch.setattr(airflow, "open", {"id": 7, "is_paused": True, **ends})
    # Airflow closes it once no run is left.
    monkeypatch.setattr(
        airflow,
        "open_backfill",
        lambda _: airflow.open if airflow.count_backfill_runs("", *RANGE, ("queued", "running")) else None,
    )
    airflow.requests.clear()


def test_an_interrupted_backfill_is_resumed_without_its_range(
    airflow: BackfillingAirflow, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(airflow, settings, monkeypatch)

    def end(*_: object) -> None:
        airflow.runs["2013-01-02"] = ("success", "2026-01-01T00:00:09Z")

    monkeypatch.setattr(backfill, "follow_backfill", end)
    backfill.run_backfill(settings, "", "", ["flights.arrived"])
    assert airflow.requests == ["unpause 7", "transform"]


def test_another_range_is_offered_the_choice_and_replaces_an_interrupted_backfill(
    airflow: BackfillingAirflow, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(airflow, settings, monkeypatch)
    other = (settings, DAYS[0], DAYS[0], ["flights.arrived"])
    with pytest.raises(TransientError) as error:
        backfill.run_backfill(*other)
    assert error.value.message == "backfill 7 of 2013-01-01 to 2013-01-02 is interrupted: 1 date is left"
    assert error.value.hint == (
        "`make backfill CANCEL=1` cancels it, FORCE=1 here replaces it;"
        " `make backfill FROM=2013-01-01 TO=2013-01-02 STREAM=flights.arrived` resumes it"
    )
    assert airflow.requests == []
    asked: list[str] = []
    monkeypatch.setattr(backfill, "POLL", timedelta(0))
    backfill.run_backfill(*other, replace=lambda question: not asked.append(question))  # type: ignore[func-returns-value]
    assert len(asked) == 1
    assert airflow.requests == [
        *("pause 7", "delete 2013-01-02", "unpause 7"),
        (DAYS[0], DAYS[0], "all", ["flights.arrived"], "completed"),
        "transform",
    ]


def test_an_interrupted_backfill_is_cancelled(
    airflow: BackfillingAirflow, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(airflow, settings, monkeypatch)
    lines: list[str] = []
    cancel_backfill(settings, lines.append)
    assert airflow.requests == ["pause 7", "delete 2013-01-02", "unpause 7", "transform"]
    assert lines[0] == "backfill 7 of 2013-01-01 to 2013-01-02 is cancelled: 1 of 2 dates are dropped"
    assert not list(settings.home.iterdir())
    cancel_backfill(settings, lines.append)
    assert lines[-1] == "nothing to cancel: no backfill has dates left"


def test_an_error_names_a_backfill_that_was_started_elsewhere(airflow: BackfillingAirflow, settings: Settings) -> None:
    airflow.open = {"id": 3, "from_date": f"{DAYS[0]}T00:00:00Z", "to_date": f"{DAYS[0]}T00:00:00Z"}
    airflow.runs[DAYS[0]] = ("running", "")
    with pytest.raises(
        TransientError, match=r"backfill 3 of 2013-01-01 to 2013-01-01, started elsewhere, is active: 1 date is"
    ):
        run(settings)
    assert airflow.requests == []


def test_an_ended_backfill_is_waited_for_until_airflow_closes_it(
    airflow: BackfillingAirflow, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[Json | None] = [
        {"id": 3, "from_date": f"{DAYS[0]}T00:00:00Z", "to_date": f"{DAYS[0]}T00:00:00Z"},
        None,
    ]
    monkeypatch.setattr(airflow, "open_backfill", lambda dag_id: answers.pop(0))
    monkeypatch.setattr(backfill, "POLL", timedelta(0))
    airflow.runs[DAYS[0]] = ("success", "2026-01-01T00:00:00Z")
    run(settings)
    assert airflow.requests[0] == (*DAYS, "all", ["flights.arrived"], "completed")


def test_a_disagreement_fails_the_verification(
    airflow: BackfillingAirflow, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    reconciliation = Reconciliation(faults=["flights.arrived/0 2013-01-01: the lake has 3 rows, the warehouse 2"])
    monkeypatch.setattr("sluice.reconcile.reconcile_loaded", lambda *_: reconciliation)
    with pytest.raises(TerminalError, match=r"backfill verification failed: 1 faults.* the lake has 3 rows"):
        run(settings)


def test_dates_that_are_not_over_have_a_run_of_their_own(
    airflow: BackfillingAirflow, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backfill, "has_ended", lambda day: str(day) == DAYS[0])
    run(settings)
    single = {"streams": ["flights.arrived"], "what": "all", "event_date": DAYS[1]}
    assert airflow.requests == [
        (DAYS[0], DAYS[0], "all", ["flights.arrived"], "completed"),
        ("reprocess", single),
        "transform",
    ]
    airflow.requests.clear()
    monkeypatch.setattr(backfill, "has_ended", lambda day: False)
    run(settings)
    assert airflow.requests == [("reprocess", single | {"event_date": day}) for day in DAYS] + ["transform"]
    assert not list(settings.home.iterdir())


def test_a_backfill_waits_until_airflow_has_read_the_current_contracts(
    airflow: BackfillingAirflow, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "POLL", timedelta(0))
    airflow.details = [details("weather.observed"), details(last="2012-12-31"), details(last=None)]
    run(settings)
    assert len(airflow.details) == 1
    assert airflow.requests[0] == (*DAYS, "all", ["flights.arrived"], "completed")


def test_a_stream_is_limited_by_its_own_history(
    airflow: BackfillingAirflow, settings: Settings, tmp_path: Path
) -> None:
    folder = tmp_path / "contracts"
    shutil.copytree(ROOT / "contracts", folder)
    text = (folder / "weather.observed.yaml").read_text()
    history = next(line for line in text.splitlines(keepends=True) if line.startswith("history:"))
    (folder / "gates.changed.yaml").write_text(text.replace("weather.observed", "gates.changed").replace(history, ""))
    settings = settings.model_copy(update={"contracts": folder})
    shown: list[str] = []
    yesterday = str(datetime.now(UTC).date() - timedelta(days=1))
    backfill.run_backfill(settings, yesterday, yesterday, ["gates.changed"], dry_run=True, show=shown.append)
    assert shown[0].startswith(f"backfill of 1 dates, {yesterday} to {yesterday}")
    with pytest.raises(TerminalError, match="choose from 2013-01-01 to 2014-01-01"):
        backfill.run_backfill(settings, yesterday, yesterday, ["flights.arrived"], dry_run=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("2013-01-02", "2013-01-01", None, "all"), "FROM=2013-01-02 is after TO=2013-01-01"),
        (("2012-01-02", "2013-01-01", None, "all"), "outside the history of the streams"),
        (("2013-01-01", "x", None, "all"), "TO=x is not a date"),
        (("2013-01-01", "2013-01-01", ["gates.changed"], "all"), "unknown stream 'gates.changed'"),
        (("2013-01-01", "2013-01-01", None, "most"), "WHAT=most is unknown. Hint: choose from raw, marts, all"),
    ],
)
def test_invalid_input_is_rejected_before_any_request(
    airflow: BackfillingAirflow, settings: Settings, arguments: tuple[Any, ...], message: str
) -> None:
    with pytest.raises(TerminalError, match=message):
        backfill.run_backfill(settings, *arguments)
    assert airflow.requests == []
