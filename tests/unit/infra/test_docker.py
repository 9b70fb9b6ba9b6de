"""What is wrong with a machine's Docker is named with its mend, and decides which way the platform goes."""

import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from sluice.settings import ROOT

DOCKER = """#!/bin/bash
case "$1 $2" in
    "version --format") {version} ;;
    "compose version") {compose} ;;
    "info --format") echo {memory} ;;
    *) echo "docker $*"; exit 0 ;;
esac
"""
REFUSED = 'echo "permission denied while trying to connect to the Docker daemon socket" >&2; exit 1'
SILENT = 'echo "Cannot connect to the Docker daemon. Is the docker daemon running?" >&2; exit 1'


def ask(
    folder: Path, question: str, version: str = "echo 28.5.1", compose: str = "echo v2.40.3", memory: int = 8 * 10**9
) -> str:
    """What the launcher's function says on a machine with such a Docker."""
    program = folder / "bin" / "docker"
    program.parent.mkdir(exist_ok=True)
    program.write_text(DOCKER.format(version=version, compose=compose, memory=memory))
    program.chmod(0o755)
    path = f"{program.parent}:/usr/bin:/bin"
    script = f". {ROOT}/infra/docker.sh; use_profile ''; {question}"
    done = subprocess.run(
        ["bash", "-euc", script], env={"PATH": path}, cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_an_engine_that_will_do_has_no_fault(tmp_path: Path) -> None:
    assert ask(tmp_path, "engine_fault") == ""
    assert ask(tmp_path, "engine_fault", version="echo 25.0.0", compose="echo 2.24.0") == ""
    assert ask(tmp_path, "memory_fault || true") == ""


@pytest.mark.parametrize(
    ("version", "compose", "says"),
    [
        (REFUSED, "echo 2.40.3", "no permission on Docker's socket: `sudo usermod -aG docker"),
        (SILENT, "echo 2.40.3", "does not answer: start it"),
        ("echo 20.10.24", "echo 2.40.3", "engine 20.10.24 is too old: update it to 25 or later"),
        ("echo 24.0.9", "echo 2.40.3", "engine 24.0.9 is too old"),
        ("echo 28.5.1", "exit 1", "no Compose v2: install the package docker-compose-plugin"),
        ("echo 28.5.1", "echo 2.23.3", "Compose 2.23.3 is too old: update it to 2.24 or later"),
    ],
)
def test_a_fault_is_named_with_its_mend(tmp_path: Path, version: str, compose: str, says: str) -> None:
    said = ask(tmp_path, "engine_fault", version=version, compose=compose)
    assert says in said
    assert "\n" not in said


def test_a_taken_port_is_named_with_its_setting(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = ask(tmp_path, f"SLUICE_SINK_PORT={port} port_faults | grep SINK")
    assert f"port {port} (SLUICE_SINK_PORT) is taken by" in said
    assert "choose another port in .env" in said


def test_too_little_memory_is_named(tmp_path: Path) -> None:
    assert "2000 MB of memory, the platform needs 4 GiB" in ask(tmp_path, "memory_fault || true", memory=2 * 10**9)


def tree(folder: Path) -> Path:
    """A copy of what the launcher is, with a platform that only says what it is asked."""
    shutil.copytree(ROOT / "infra", folder / "infra", ignore=shutil.ignore_patterns("bootstrap"))
    shutil.copy(ROOT / "docker-compose.yaml", folder)
    for name, text in (("infra/bootstrap", "#!/bin/bash\n"), (".venv/bin/python", '#!/bin/bash\necho "native $*"\n')):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder


def run(
    folder: Path, *arguments: str, docker: bool = False, machine: dict[str, Any] | None = None, **environment: str
) -> "subprocess.CompletedProcess[str]":
    """The launcher's command line, on a machine with or without Docker, which answers as ``machine`` says."""
    path = "/usr/bin:/bin"
    hidden = folder / "no-docker"
    if docker:
        ask(folder, "true", **machine or {})
        path = f"{folder / 'bin'}:{path}"
    else:
        hidden.mkdir(exist_ok=True)
        for name in ("bash", "cat", "dirname", "mkdir", "id"):
            if not (hidden / name).exists():
                (hidden / name).symlink_to(shutil.which(name) or "")
        path = str(hidden)
    return subprocess.run(
        [str(folder / "infra" / "sluice"), *arguments],
        env={"PATH": path, "HOME": os.environ.get("HOME", "/"), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_docker_it_goes_without_and_says_why(tmp_path: Path) -> None:
    done = run(tree(tmp_path), "up", "--months", "0")
    assert done.stdout.splitlines()[0].startswith("without containers (Docker is not installed")
    assert done.stdout.splitlines()[1] == "native -m cli up --months 0"


def test_a_platform_stays_with_the_way_it_was_launched(tmp_path: Path) -> None:
    folder = tree(tmp_path)
    assert "native -m cli up" in run(folder, "up", docker=True, RUNTIME="native").stdout
    assert run(folder, "status", docker=True).stdout == "native -m cli status\n"
    other = run(folder, "status", docker=True, RUNTIME="docker")
    assert other.returncode == 1
    assert "launched as RUNTIME=native" in other.stderr
    assert "make clean" in other.stderr


def test_with_docker_a_command_runs_in_a_container(tmp_path: Path) -> None:
    folder = tree(tmp_path)
    early = run(folder, "sql", "select 1", docker=True)
    assert (early.returncode, early.stderr) == (1, "sluice: there is no .env, so nothing was launched yet: `make up`\n")
    (folder / ".env").touch()
    assert run(folder, "sql", "select 1", docker=True).stdout.endswith(" cli sql select 1\n")


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"RUNTIME": "podman"}, "RUNTIME=podman is unknown"),
        ({"PROFILE": "huge"}, "PROFILE=huge is unknown"),
        ({"RUNTIME": "native", "PROFILE": "scale"}, "PROFILE=scale is for containers"),
    ],
)
def test_what_there_is_not_is_refused_in_one_line(tmp_path: Path, environment: dict[str, str], says: str) -> None:
    done = run(tree(tmp_path), "up", docker=True, **environment)
    assert done.returncode == 1
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["up", "doctor"])
@pytest.mark.parametrize(
    ("machine", "says"),
    [
        ({"version": "echo 20.10.24"}, "engine 20.10.24 is too old: update it to 25 or later"),
        ({"version": REFUSED}, "no permission on Docker's socket: `sudo usermod -aG docker"),
        ({"version": SILENT}, "does not answer: start it"),
        ({"compose": "exit 1"}, "no Compose v2: install the package docker-compose-plugin"),
        ({"memory": 2 * 10**9}, "2000 MB of memory, the platform needs 4 GiB: give it more"),
    ],
)
def test_up_and_doctor_name_what_is_wrong(tmp_path: Path, command: str, machine: dict[str, Any], says: str) -> None:
    done = run(tree(tmp_path), command, docker=True, machine=machine, RUNTIME="docker")
    assert done.returncode == 1
    assert says in done.stdout + done.stderr
    assert len(done.stderr.splitlines()) == (1 if command == "up" else 0)


def test_the_third_broker_s_port_is_asked_for_where_there_is_one(tmp_path: Path) -> None:
    assert "SLUICE_KAFKA_3_PORT" not in ask(tmp_path, "ports")
    assert "SLUICE_KAFKA_3_PORT 9292" in ask(tmp_path, "use_profile scale; ports")


def test_months_that_there_are_not_are_refused_before_anything_starts(tmp_path: Path) -> None:
    done = run(tree(tmp_path), "up", "--months", "13", docker=True)
    assert "MONTHS=13 is not possible" in done.stderr
