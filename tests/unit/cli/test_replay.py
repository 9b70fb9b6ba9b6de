"""The command replay: restarts of a killed producer, and forwarded signals."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli import replay as module
from cli.app import build
from sluice.settings import ROOT

KILLED = "import os, pathlib, signal, sys; p = pathlib.Path(sys.argv[1]); n = len(p.read_text()) if p.exists() else 0;"
KILLED += "p.write_text('x' * (n + 1)); n < int(sys.argv[2]) and os.kill(os.getpid(), signal.SIGKILL); sys.exit(7)"
RUN = "import sys; from cli.replay import run; sys.exit(run(sys.argv[1:]))"


def replay(*command: str) -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-c", RUN, *command], cwd=ROOT, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize(("kills", "attempts", "status"), [(0, 1, 7), (2, 3, 7), (9, 4, 128 + signal.SIGKILL)])
def test_a_killed_producer_is_restarted_three_times(tmp_path: Path, kills: int, attempts: int, status: int) -> None:
    count = tmp_path / "count"
    process = replay(sys.executable, "-c", KILLED, str(count), str(kills))
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == status
    assert len(count.read_text()) == attempts
    assert stderr.count("was killed by SIGKILL") == min(kills, 4)


def test_a_killed_producer_of_a_file_is_not_restarted(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[tuple[list[str], int]] = []

    def run(command: list[str], attempts: int = module.ATTEMPTS) -> int:
        ran.append((command, attempts))
        return 3

    monkeypatch.setattr(module, "run", run)
    for command in ("send", "replay"):
        assert CliRunner().invoke(build(), [command, "--seed", "1", "--help"]).exit_code == 3
    assert ran == [
        ([sys.executable, "-m", "producers", "send", "--seed", "1", "--help"], 1),
        ([sys.executable, "-m", "producers", "replay", "--seed", "1", "--help"], 4),
    ]


def test_a_stop_signal_is_forwarded_and_the_producers_exit_code_returned(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    program = (
        "import pathlib, signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(5));"
        f"pathlib.Path({str(ready)!r}).touch(); time.sleep(60)"
    )
    process = replay(sys.executable, "-c", program)
    deadline = time.monotonic() + 20
    while not ready.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGTERM)
    _, stderr = process.communicate(timeout=20)
    assert process.returncode == 5
    assert "restarting" not in stderr
