"""`make airflow`: Airflow's own command line, as a process that no service counts as its own."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest
import typer.testing

from cli import airflow, app
from infra.config.settings_file import ensure_settings_file
from infra.processes.processes import service_of
from infra.servers.service import environment
from infra.servers.services import SERVICES
from sluice.settings import Settings


def test_a_scheduler_that_starts_again_does_not_end_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "settings.env"
    ensure_settings_file(file, {"home": tmp_path / "home"})
    settings = Settings(_env_file=file)  # type: ignore[call-arg]
    monkeypatch.setattr(airflow, "load_settings", lambda: settings)
    started: list[dict[str, str]] = []
    monkeypatch.setattr(os, "execve", lambda program, argv, variables: started.append(variables))
    monkeypatch.setattr(os, "chdir", lambda folder: None)
    typer.testing.CliRunner().invoke(app.build(), ["airflow", "dags", "list"], catch_exceptions=False)
    (variables,) = started
    assert _service(["-c", "input()"], variables, settings.home) is None
    # Otherwise it has the scheduler's environment, by which the scheduler finds its own processes.
    of_scheduler = environment(SERVICES["airflow-scheduler"], settings)
    assert of_scheduler.items() - variables.items() == {("SLUICE_SERVICE", "airflow-scheduler")}
    assert _service(["-c", "input()"], of_scheduler, settings.home) == "airflow-scheduler"


def _service(arguments: Sequence[str], variables: dict[str, str], home: Path) -> str | None:
    """Returns the service that a process with these variables counts as."""
    with subprocess.Popen([sys.executable, *arguments], env=variables, stdin=subprocess.PIPE) as process:
        try:
            return service_of(psutil.Process(process.pid), home)
        finally:
            process.kill()
