"""While the platform is down, every command that needs it says so in one line, at once."""

import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from sluice.settings import ROOT
from tests.fixtures.supervisor import apparent_supervisor

DOWN = "sluice: the platform is down. Hint: start it with `make up`; the data is kept.\n"
WITHOUT_SERVERS = {"help", "up", "down", "clean", "doctor", "logs", "new-stream", "new-mart", "contract"} | {
    "learn",
    "hint",
    "solution",
    "report",
    "new-exercise",
}
COMMANDS = sorted(
    {*re.findall(r"^([a-z-]+):.*\n\t@\$\(SLUICE\)", (ROOT / "Makefile").read_text(), re.MULTILINE)} - WITHOUT_SERVERS
)


def launcher(folder: Path, *arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    environment = {"PATH": os.environ["PATH"], "RUNTIME": "native", "SLUICE_ENV_FILE": str(folder / ".env"), **settings}
    return subprocess.run(
        [str(ROOT / "infra" / "sluice"), *arguments], env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The home of a platform that was launched once and stopped."""
    home = tmp_path / "the home"
    home.mkdir()
    (home / "runtime").write_text("native\n")
    (tmp_path / ".env").write_text(f"SLUICE_HOME='{home}'\n")
    return home


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_that_needs_the_platform_says_that_it_is_down(tmp_path: Path, home: Path, command: str) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = launcher(tmp_path, command, "--", "", SLUICE_HOME=str(home))
    assert (done.returncode, done.stdout, done.stderr) == (1, "", DOWN)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # CPU seconds, so that a busy machine does not fail the test.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 2


def test_the_exercises_are_listed_while_the_platform_is_down_and_none_is_started(tmp_path: Path, home: Path) -> None:
    started = launcher(tmp_path, "learn", "--", "4", SLUICE_HOME=str(home), SLUICE_ANSWERS=str(tmp_path / "answers"))
    assert (started.returncode, started.stdout, started.stderr) == (1, "", DOWN)
    listed = launcher(tmp_path, "learn", SLUICE_HOME=str(home), SLUICE_ANSWERS=str(tmp_path / "answers"))
    assert listed.returncode == 0, listed.stderr


def test_the_commands_are_found() -> None:
    assert {"status", "sql", "load", "transform", "backfill", "replay", "airflow", "dbt"} <= set(COMMANDS)


def test_before_the_first_launch_a_command_says_so(tmp_path: Path) -> None:
    done = launcher(tmp_path, "sql", "--", "select 1", SLUICE_HOME=str(tmp_path / "none"))
    assert done.stderr == "sluice: nothing has been launched yet. Hint: run `make up`.\n"


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs /proc")
def test_another_process_with_the_id_of_the_supervisor_is_not_taken_for_it(tmp_path: Path, home: Path) -> None:
    (home / "run").mkdir()
    (home / "run" / "supervisor.pid").write_text(f"{os.getppid()}\n")
    assert launcher(tmp_path, "sql", "--", "select 1", SLUICE_HOME=str(home)).stderr == DOWN


def test_help_is_shown_while_the_platform_is_down(tmp_path: Path, home: Path) -> None:
    done = launcher(tmp_path, "sql", "--help", SLUICE_HOME=str(home))
    assert "Query the warehouse" in done.stdout


def test_a_platform_that_runs_is_used(tmp_path: Path, home: Path) -> None:
    with apparent_supervisor(home):
        done = launcher(tmp_path, "sql", "--as", "nobody", "--", "select 1", SLUICE_HOME=str(home))
    assert done.stderr.startswith("sluice: AS=nobody is unknown.")


def test_down_and_logs_of_a_stopped_platform_say_so(tmp_path: Path, home: Path) -> None:
    def command(*arguments: str) -> "subprocess.CompletedProcess[str]":
        environment = {"PATH": "/usr/bin:/bin", "SLUICE_ENV_FILE": "/dev/null", "SLUICE_HOME": str(home)}
        program = [sys.executable, "-m", "cli", *arguments]
        return subprocess.run(program, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)

    assert command("down").stdout == "the platform is down already; the data is kept, `make up` resumes with it\n"
    (home / "logs").mkdir()
    (home / "logs" / "sink.log").write_text("the last line\n")
    done = command("logs", "sink")
    assert "the last line" in done.stdout
    assert done.stderr == "sluice: the platform is down: these are the last lines from before\n"
