"""Nothing of the user's shell reaches a command, a service or dbt; what installs software keeps the shell's proxy."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from infra.config.settings_file import SECRETS
from infra.install.installs import _without_go_builds
from infra.processes.environment import own_environment
from infra.servers.service import environment
from infra.servers.services import services
from infra.supervision.supervisor import Supervisor
from sluice.settings import ROOT, Settings
from sluice.transform.dbt import Dbt
from tests.fixtures.hostile_shell import HOSTILE, HOSTILE_TO_SCRIPTS

MACHINE = {"PATH": os.environ["PATH"], "HOME": "/home/someone", "TERM": "xterm", "SLUICE_KAFKA_PORT": "19092"}
REPORT = """
import json, os, sys
from infra.processes import environment
environment.leave_shell()
print(json.dumps([dict(os.environ), environment.shell_environment()]))
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    secrets = {name: SecretStr("secret") for name in SECRETS}
    return Settings(_env_file=None, home=tmp_path, airflow_executor="CeleryExecutor", **secrets)  # type: ignore[call-arg, arg-type]


def leaked(variables: dict[str, str]) -> dict[str, str]:
    """Returns the hostile variables among those of a process."""
    return {name: value for name, value in variables.items() if HOSTILE.get(name) == value}


def test_a_program_keeps_its_settings_and_what_the_machine_needs_and_nothing_else() -> None:
    assert own_environment(MACHINE | HOSTILE) == MACHINE | {"LANG": "C.UTF-8"}


def test_a_command_leaves_the_shell_and_an_installation_has_all_of_it() -> None:
    command = [sys.executable, "-c", REPORT]
    done = subprocess.run(command, env=MACHINE | HOSTILE, cwd=ROOT, capture_output=True, text=True, check=True)
    own, shell = json.loads(done.stdout)
    assert not leaked(own)
    assert shell.items() >= (MACHINE | HOSTILE).items()


def test_the_supervisor_and_every_service_have_nothing_of_the_shell(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in HOSTILE.items():
        monkeypatch.setenv(name, value)
    table = services(settings)
    assert not leaked(Supervisor(table.values(), settings.home, Path(os.devnull))._environment())
    for service in table.values():
        assert not leaked(environment(service, settings)), service.name
    assert not leaked(Dbt(settings, print)._environment())


def test_the_launcher_starts_python_without_the_shells_options(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "infra", tmp_path / "infra", ignore=shutil.ignore_patterns("bootstrap"))
    for name, text in (("infra/bootstrap", "#!/bin/bash\n"), (".venv/bin/python", "#!/bin/bash\nenv\n")):
        program = tmp_path / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(text)
        program.chmod(0o755)
    done = subprocess.run(
        ["infra/sluice", "logs"],
        env=MACHINE | HOSTILE | HOSTILE_TO_SCRIPTS | {"RUNTIME": "native"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    variables = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert not variables.keys() & HOSTILE_TO_SCRIPTS.keys()
    assert variables["HTTPS_PROXY"] == HOSTILE["HTTPS_PROXY"]
    assert variables["LANG"] == "C.UTF-8"


def test_minio_is_built_for_this_machine_whatever_the_shell_builds() -> None:
    shell = MACHINE | {"GOPROXY": "https://proxy.example.com", "HTTPS_PROXY": "http://proxy.example.com"}
    foreign = {"GOOS": "windows", "GOARCH": "arm", "GOFLAGS": "-mod=vendor", "GOAMD64": "v4", "GOROOT": "/missing"}
    assert _without_go_builds(shell | foreign) == shell


def test_make_does_not_take_the_assembler_for_a_role() -> None:
    command = ["make", "-n", "-f", str(ROOT / "Makefile"), "sql", "Q=select 1"]
    variables = MACHINE | {"AS": "arm-none-eabi-as"}
    done = subprocess.run(command, env=variables, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "--as" not in done.stdout
    done = subprocess.run([*command, "AS=loader"], env=variables, cwd=ROOT, capture_output=True, text=True, check=True)
    assert '--as "$AS"' in done.stdout


def test_make_lets_no_variable_run_code_before_a_script(tmp_path: Path) -> None:
    intruder = tmp_path / "intruder.sh"
    intruder.write_text("echo intruder\n")
    command = ["make", "-s", "-f", str(ROOT / "Makefile"), "status", "SLUICE=true"]
    variables = MACHINE | {"BASH_ENV": str(intruder), "PYTHONPATH": "/missing"}
    done = subprocess.run(command, env=variables, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == ""
