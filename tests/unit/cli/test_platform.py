"""The table of `make status`, and what a launch says that is interrupted or repeated."""

import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from cli import app, platform
from cli.platform import _print
from infra.launch import first_data
from infra.processes.commands import InterruptedRunError
from infra.supervision.platform import Status
from infra.supervision.supervisor import Supervisor
from sluice.errors import SluiceError, TerminalError, TransientError
from sluice.orchestration import follow
from sluice.settings import ROOT, Settings


def test_a_detail_is_printed_as_it_is_without_what_could_affect_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _print([Status("sink", "unhealthy", "[/] [Errno 111] [bold]\x1b[2J\nforged")], 0)
    assert r"[/] [Errno 111] [bold]\x1b[2J\nforged" in capsys.readouterr().out


def test_status_names_what_removed_contracts_leave_which_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    statuses = SimpleNamespace(status=lambda: [Status("sink", "healthy")])
    monkeypatch.setattr(platform, "load_settings", lambda: Settings(contracts=ROOT / "contracts"))
    monkeypatch.setattr(platform, "Platform", lambda settings: statuses)
    monkeypatch.setattr(platform.processes, "owned", lambda home: [])
    monkeypatch.setattr("sluice.removed.remains.removed_contracts", lambda settings, contracts: ["removed: a.b"])
    app = typer.Typer()
    platform.register(app)
    result: Any = CliRunner().invoke(app, ["status"])
    assert (result.exit_code, result.output.splitlines()[-1]) == (0, "removed: a.b")


@pytest.mark.parametrize(
    ("options", "with_spark"),
    [([], False), (["--engine", ""], False), (["--engine", "spark"], True)],
)
def test_a_launch_has_spark_only_on_request(
    monkeypatch: pytest.MonkeyPatch, options: list[str], with_spark: bool
) -> None:
    launched: list[tuple[object, ...]] = []
    monkeypatch.setattr("infra.launch.launch.up", lambda *given: launched.append(given))
    monkeypatch.setattr(platform, "offer_to_drop", lambda _: None)
    monkeypatch.setattr(sys, "argv", ["sluice", "up", *options])
    assert app.run(app.build()) == 0
    assert launched == [(None, True, False, with_spark)]


@pytest.mark.parametrize(
    ("states", "said"),
    [
        (
            {"kafka": "RUNNING"},
            "kafka keeps running. Hint: `make up` resumes where it was, `make down` stops everything.",
        ),
        ({"kafka": "RUNNING", "sink": "RUNNING", "minio": "STOPPED"}, "kafka, sink keep running. Hint: "),
        ({}, "nothing runs. Hint: "),
    ],
)
def test_ctrl_c_in_a_launch_says_what_keeps_running(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    states: dict[str, str],
    said: str,
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    def state(_: Supervisor, name: str) -> dict[str, str]:
        if not states:
            raise TransientError("the supervisor is down")
        return {"statename": states.get(name, "STOPPED")}

    monkeypatch.setattr("infra.launch.launch.up", interrupt)
    monkeypatch.setattr(Supervisor, "state", state)
    monkeypatch.setattr(platform, "load_settings", lambda: Settings(home=tmp_path))
    monkeypatch.setattr(sys, "argv", ["sluice", "up"])
    assert app.run(app.build()) == 130
    assert capsys.readouterr().err.startswith(f"sluice: interrupted: {said}")


def test_an_interrupted_launch_does_not_wait_for_what_airflow_builds(monkeypatch: pytest.MonkeyPatch) -> None:
    released, cancelled = threading.Event(), threading.Event()
    ended: list[bool] = []

    def wait_for_runs(*_: object, **__: object) -> None:
        ended.append(released.wait(60))

    monkeypatch.setattr(first_data, "run_loads", wait_for_runs)
    monkeypatch.setattr(first_data, "run_transform", wait_for_runs)
    threading.Timer(0.2, cancelled.set).start()
    with pytest.raises(InterruptedRunError, match="while Airflow was building"):
        first_data.build_marts(Settings(), cancelled)
    assert ended == []
    released.set()


def _failing(error: Exception, times: int, calls: list[str], name: str) -> Callable[..., None]:
    """Returns a run that fails so many times and then succeeds."""

    def run(*_: object, **__: object) -> None:
        calls.append(name)
        if calls.count(name) <= times:
            raise error

    return run


@pytest.mark.parametrize("error", [TerminalError("the run failed"), SluiceError("the run failed")])
def test_a_launch_whose_loads_fail_names_the_failure_at_once(
    monkeypatch: pytest.MonkeyPatch, error: SluiceError
) -> None:
    calls: list[str] = []
    monkeypatch.setattr(first_data, "run_loads", _failing(error, 9, calls, "loads"))
    with pytest.raises(SluiceError, match="the run failed"):
        first_data.build_marts(Settings(), threading.Event())
    assert calls == ["loads"]


def test_a_launch_waits_for_an_airflow_that_is_too_busy_to_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    busy = TransientError("Airflow is down (timed out)")
    calls: list[str] = []
    monkeypatch.setattr(follow, "POLL", timedelta(0))
    monkeypatch.setattr(first_data, "run_loads", _failing(busy, 2, calls, "loads"))
    monkeypatch.setattr(first_data, "run_transform", _failing(busy, 1, calls, "transform"))
    assert first_data.build_marts(Settings(), threading.Event()) == "built"
    assert calls == ["loads"] * 3 + ["transform"] * 2


def test_a_launch_ends_if_airflow_stays_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "POLL", timedelta(0))
    monkeypatch.setattr(first_data, "AIRFLOW_TIMEOUT", timedelta(seconds=0.1))
    monkeypatch.setattr(first_data, "run_loads", _failing(TransientError("down"), 1 << 60, [], "loads"))
    with pytest.raises(TransientError, match="down"):
        first_data.build_marts(Settings(), threading.Event())


def test_a_launch_after_an_interrupted_one_replays_all_of_its_months(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    settings = Settings(home=tmp_path)
    assert [first_data.months_to_replay(settings, months) for months in (None, 0, 3)] == [1, 0, 3]
    monkeypatch.setattr(first_data, "run_logged", interrupt)
    with pytest.raises(KeyboardInterrupt):
        first_data.replay(settings, 3, threading.Event(), print)
    assert [first_data.months_to_replay(settings, months) for months in (None, 0, 3, 4)] == [3, 3, 3, 4]
    first_data.record_launch(settings, 3)
    assert [path.name for path in tmp_path.iterdir()] == ["launched.json"]


def test_months_that_a_later_launch_ignores_are_named_with_what_to_do(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    assert first_data.ignored_months(settings, 2) == []
    first_data.record_launch(settings, 1)
    assert first_data.ignored_months(settings, None) == first_data.ignored_months(settings, 1) == []
    (more,) = first_data.ignored_months(settings, 3)
    assert more.startswith("warning: MONTHS=3 has no effect: the first launch has replayed 1 month of 2013. Hint: ")
    assert "`make replay FROM=2013-02-01 TO=2013-03-31` sends the others." in more
    assert "`make clean`" in first_data.ignored_months(settings, 0)[0]
