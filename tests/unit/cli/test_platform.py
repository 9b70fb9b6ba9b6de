"""The table of `make status`."""

from types import SimpleNamespace
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from cli import platform
from cli.platform import _print
from infra.supervision.platform import Status
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
