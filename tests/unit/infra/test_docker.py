"""Errors of a machine's Docker come with a hint and decide whether the platform runs in containers."""

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sluice.settings import ROOT
from tests.fixtures.supervisor import apparent_supervisor

DOCKER = """#!/bin/bash
case "$1 $2" in
    "version --format") {version} ;;
    "compose version") {compose} ;;
    "info --format") echo {memory} ;;
    *) echo "docker $*"; exit 0 ;;
esac
"""
REFUSED = 'echo "permission denied while trying to connect to the Docker daemon socket" >&2; exit 1'
DOWN = 'echo "Cannot connect to the Docker daemon. Is the docker daemon running?" >&2; exit 1'


def call(
    folder: Path, function: str, version: str = "echo 28.5.1", compose: str = "echo v2.40.3", memory: int = 8 * 10**9
) -> str:
    """Returns the output of a shell function of the launcher on a machine with this Docker."""
    program = folder / "bin" / "docker"
    program.parent.mkdir(exist_ok=True)
    program.write_text(DOCKER.format(version=version, compose=compose, memory=memory))
    program.chmod(0o755)
    path = f"{program.parent}:/usr/bin:/bin"
    script = f". {ROOT}/infra/docker.sh; use_profile ''; {function}"
    done = subprocess.run(
        ["bash", "-euc", script], env={"PATH": path}, cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_a_suitable_engine_has_no_error(tmp_path: Path) -> None:
    assert call(tmp_path, "engine_fault") == ""
    assert call(tmp_path, "engine_fault", version="echo 25.0.0", compose="echo 2.24.0") == ""
    assert call(tmp_path, "memory_fault || true") == ""


@pytest.mark.parametrize(
    ("version", "compose", "expected"),
    [
        (REFUSED, "echo 2.40.3", "no permission on Docker's socket. Hint: run `sudo usermod -aG docker"),
        (DOWN, "echo 2.40.3", "engine is down. Hint: start it"),
        ("echo 20.10.24", "echo 2.40.3", "engine 20.10.24 is too old. Hint: update it to 25 or later."),
        ("echo 24.0.9", "echo 2.40.3", "engine 24.0.9 is too old"),
        ("echo 28.5.1", "exit 1", "no Compose v2. Hint: install the package docker-compose-plugin."),
        ("echo 28.5.1", "echo 2.23.3", "Compose 2.23.3 is too old. Hint: update it to 2.24 or later."),
    ],
)
def test_an_engine_error_is_one_line_with_a_hint(tmp_path: Path, version: str, compose: str, expected: str) -> None:
    error = call(tmp_path, "engine_fault", version=version, compose=compose)
    assert expected in error
    assert "\n" not in error


def test_the_error_of_a_taken_port_names_its_setting(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        error = call(tmp_path, f"SLUICE_SINK_PORT={port} port_faults | grep SINK")
    assert f"port {port} (SLUICE_SINK_PORT) is taken by" in error
    assert "Hint: end that process or choose another port in .env." in error


@pytest.mark.parametrize(("command", "option"), [("new-stream --force", "--sample"), ("send --stream a.b", "--file")])
def test_a_command_that_reads_a_file_gets_it_in_the_container(tmp_path: Path, command: str, option: str) -> None:
    (tmp_path / "my events.json").touch()
    ran = call(tmp_path, f"run_cli {command} {option} '{tmp_path}/my events.json' --late 1")
    assert f"--volume {tmp_path}/my events.json:/data/my events.json:ro" in ran
    assert ran.endswith(f"cli {command} {option} /data/my events.json --late 1")


@pytest.mark.parametrize("options", ["'{file}' --name a.b", "--name a.b '{file}'"])
def test_a_contract_is_imported_from_a_file_wherever_it_is_named(tmp_path: Path, options: str) -> None:
    (tmp_path / "my schema.json").touch()
    ran = call(tmp_path, f"run_cli contract import {options.format(file=tmp_path / 'my schema.json')}")
    assert f"--volume {tmp_path}/my schema.json:/data/my schema.json:ro" in ran
    assert ran.endswith(f"cli contract import {options.format(file='/data/my schema.json')}".replace("'", ""))
    assert "/data" not in call(tmp_path, "run_cli contract export flights.departed --format odcs")


def test_a_file_that_is_missing_is_an_error_before_a_container_starts(tmp_path: Path) -> None:
    ran = call(tmp_path, f"(run_cli send --file '{tmp_path}/missing.json') 2>&1 || true")
    assert ran == f"sluice: {tmp_path}/missing.json is not a file. Hint: give the path of a file to read."


@pytest.mark.parametrize("command", ["new-stream a.b", "new-mart a"])
def test_a_command_that_writes_to_the_source_runs_as_the_user(tmp_path: Path, command: str) -> None:
    ran = call(tmp_path, f"run_cli {command}")
    assert f"--user {os.getuid()}:{os.getgid()}" in ran
    for folder in ("contracts", "dbt"):
        assert f"--volume {ROOT}/{folder}:/source/{folder} --env SLUICE_{folder.upper()}=/source/{folder}" in ran
    assert "/source" not in call(tmp_path, "run_cli peek a.b")


@pytest.mark.parametrize("command", ["learn 1", "check", "hint", "solution", "reset -- 1", "report"])
def test_a_command_of_the_exercises_writes_the_learners_folder_as_the_user(tmp_path: Path, command: str) -> None:
    answers = tmp_path / "my answers"
    ran = call(tmp_path, f"export SLUICE_ANSWERS='{answers}'; run_cli {command}")
    assert f"--user {os.getuid()}:{os.getgid()}" in ran
    assert f"--volume {answers}:/opt/sluice/answers --env SLUICE_ANSWERS=/opt/sluice/answers" in ran
    # The learner's clone has the exercises, which may be newer than the image.
    assert f"--volume {ROOT}/exercises:/opt/sluice/exercises:ro" in ran
    assert answers.is_dir()


def test_a_report_is_verified_with_the_answers_beside_it(tmp_path: Path) -> None:
    submission = tmp_path / "ada lovelace"
    submission.mkdir()
    (submission / "report.json").touch()
    ran = call(tmp_path, f"export SLUICE_ANSWERS='{tmp_path}'; run_cli report --check '{submission}/report.json'")
    assert f"--volume {submission}:/data:ro" in ran
    assert ran.endswith("cli report --check /data/report.json")
    missing = call(tmp_path, f"(run_cli report --check '{tmp_path}/missing.json') 2>&1 || true")
    assert missing == f"sluice: {tmp_path}/missing.json is not a file. Hint: give the path of a report.json."


def test_a_new_exercise_is_written_to_the_source_as_the_user(tmp_path: Path) -> None:
    ran = call(tmp_path, "run_cli new-exercise --stage ask -- late-bags")
    assert f"--user {os.getuid()}:{os.getgid()}" in ran
    assert f"--volume {ROOT}/exercises:/opt/sluice/exercises " in ran


def test_status_and_up_check_the_checkouts_contracts_in_the_image(tmp_path: Path) -> None:
    checked = call(tmp_path, "check_contracts")
    assert checked.endswith(f"--volume {ROOT}/contracts:/opt/sluice/contracts:ro sluice-platform contracts")


def test_the_containers_step_names_each_invalid_contract(tmp_path: Path) -> None:
    (tmp_path / "a.b.yaml").write_text("stream: [")
    environment = {"PATH": "/usr/bin:/bin", "SLUICE_ENV_FILE": "/dev/null", "SLUICE_CONTRACTS": str(tmp_path)}
    command = [sys.executable, "-m", "infra", "contracts"]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"sluice: {tmp_path}/a.b.yaml: line 1: invalid YAML")


def test_too_little_memory_is_an_error(tmp_path: Path) -> None:
    assert "2000 MB of memory, and the platform needs 4 GiB. Hint: " in call(
        tmp_path, "memory_fault || true", memory=2 * 10**9
    )


def tree(folder: Path) -> Path:
    """Copies the launcher into a folder, with an interpreter that only prints its arguments."""
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
    """Runs the launcher on a machine without Docker, or with a Docker that ``machine`` describes."""
    path = "/usr/bin:/bin"
    without_docker = folder / "no-docker"
    if docker:
        call(folder, "true", **machine or {})
        path = f"{folder / 'bin'}:{path}"
    else:
        without_docker.mkdir(exist_ok=True)
        for name in ("bash", "cat", "dirname", "mkdir", "id"):
            if not (without_docker / name).exists():
                (without_docker / name).symlink_to(shutil.which(name) or "")
        path = str(without_docker)
    return subprocess.run(
        [str(folder / "infra" / "sluice"), *arguments],
        env={"PATH": path, "HOME": os.environ.get("HOME", "/"), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_docker_the_platform_runs_without_containers_and_reports_why(tmp_path: Path) -> None:
    done = run(tree(tmp_path), "up", "--months", "0")
    information = (
        "running without containers, which needs no Docker (Docker is not installed); RUNTIME=docker runs in them"
    )
    assert done.stdout.splitlines()[0] == information
    assert done.stdout.splitlines()[1] == "native -m cli up --months 0"


def test_the_runtime_is_fixed_at_first_launch(tmp_path: Path) -> None:
    folder = tree(tmp_path)
    assert "native -m cli up" in run(folder, "up", docker=True, RUNTIME="native").stdout
    with apparent_supervisor(folder / ".sluice"):
        assert run(folder, "status", docker=True).stdout == "native -m cli status\n"
    other = run(folder, "status", docker=True, RUNTIME="docker")
    assert other.returncode == 1
    assert "launched with RUNTIME=native" in other.stderr
    assert "make clean" in other.stderr


def test_with_docker_a_command_runs_in_a_container(tmp_path: Path) -> None:
    folder = tree(tmp_path)
    early = run(folder, "sql", "select 1", docker=True)
    assert early.returncode == 1
    assert early.stderr == "sluice: there is no .env: nothing has been launched yet. Hint: run `make up`.\n"
    (folder / ".env").touch()
    assert run(folder, "sql", "select 1", docker=True).stdout.endswith(" cli sql select 1\n")


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"RUNTIME": "podman"}, "RUNTIME=podman is unknown"),
        ({"PROFILE": "huge"}, "PROFILE=huge is unknown"),
        ({"RUNTIME": "native", "PROFILE": "scale"}, "PROFILE=scale requires containers"),
    ],
)
def test_an_impossible_choice_is_a_one_line_error(tmp_path: Path, environment: dict[str, str], expected: str) -> None:
    done = run(tree(tmp_path), "up", docker=True, **environment)
    assert done.returncode == 1
    assert expected in done.stderr
    assert " Hint: " in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["up", "doctor"])
@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        ({"version": "echo 20.10.24"}, "engine 20.10.24 is too old. Hint: update it to 25 or later."),
        ({"version": REFUSED}, "no permission on Docker's socket. Hint: run `sudo usermod -aG docker"),
        ({"version": DOWN}, "engine is down. Hint: start it"),
        ({"compose": "exit 1"}, "no Compose v2. Hint: install the package docker-compose-plugin."),
        ({"memory": 2 * 10**9}, "2000 MB of memory, and the platform needs 4 GiB. Hint: give Docker more memory."),
    ],
)
def test_up_and_doctor_report_an_unsuitable_docker(
    tmp_path: Path, command: str, machine: dict[str, Any], expected: str
) -> None:
    done = run(tree(tmp_path), command, docker=True, machine=machine, RUNTIME="docker")
    assert done.returncode == 1
    assert expected in done.stdout + done.stderr
    assert len(done.stderr.splitlines()) == (1 if command == "up" else 0)


def test_the_third_brokers_port_is_checked_only_with_the_profile_that_has_it(tmp_path: Path) -> None:
    assert "SLUICE_KAFKA_3_PORT" not in call(tmp_path, "ports")
    assert "SLUICE_KAFKA_3_PORT 9292" in call(tmp_path, "use_profile scale; ports")


def test_prometheus_needs_its_port_only_if_it_is_launched(tmp_path: Path) -> None:
    assert "SLUICE_PROMETHEUS_PORT" not in call(tmp_path, "ports")
    assert "SLUICE_PROMETHEUS_PORT 9090" in call(tmp_path, "observe=yes; ports")


def test_spark_needs_its_ports_only_if_it_is_launched(tmp_path: Path) -> None:
    assert "SLUICE_SPARK" not in call(tmp_path, "ports")
    ports = call(tmp_path, "engine=spark; ports").splitlines()
    expected = ["SLUICE_SPARK_UI_PORT 7080", "SLUICE_SPARK_WORKER_1_UI_PORT 7081", "SLUICE_SPARK_WORKER_2_UI_PORT 7082"]
    assert [line for line in ports if "SPARK" in line] == expected


@pytest.mark.parametrize("engine", ["flink", "Spark", "1"])
def test_another_engine_is_refused_in_one_line_before_anything_starts(tmp_path: Path, engine: str) -> None:
    done = run(tree(tmp_path), "up", "--engine", engine, docker=True)
    assert done.returncode == 1
    assert done.stderr == f"sluice: ENGINE={engine} is unknown. Hint: set it to spark, or leave it out.\n"


STUBS = """
engine_fault() { :; }; memory_fault() { :; }; mount_fault() { :; }; port_faults() { :; }; protection_fault() { :; }
complete_settings() { :; }; check_contracts() { :; }; removed_contracts() { :; }; run_cli() { :; }
show_unhealthy() { :; }
docker() { case "$1 $2" in "wait "*) echo 0 ;; "image inspect") ;; *) echo "docker $*" >>"$calls" ;; esac; }
compose() { echo "compose $*" >>"$calls"; }
compose_up() { echo "compose_up ENGINE=$ENGINE $*" >>"$calls"; }
"""


@pytest.mark.parametrize("engine", ["", "spark"])
def test_a_launch_in_containers_has_spark_only_on_request(tmp_path: Path, engine: str) -> None:
    calls = tmp_path / "calls"
    # The launcher writes its logs below SLUICE_HOME.
    option = f"--engine {engine}" if engine else ""
    call(tmp_path, f"export SLUICE_HOME={tmp_path} calls={calls}; {STUBS} docker_up --no-live {option}")
    ran = calls.read_text().splitlines()
    built = [line for line in ran if line.startswith("docker build") and "sluice-spark" in line]
    assert len(built) == (1 if engine else 0)
    assert f"compose_up ENGINE={engine} --remove-orphans marts" in ran
    started = f"compose_up ENGINE={engine} --wait spark-worker-1 spark-worker-2"
    stopped = "compose rm --stop --force spark-worker-1 spark-worker-2 spark-master"
    assert (started in ran, stopped in ran) == (bool(engine), not engine)


@pytest.mark.parametrize(
    "line",
    [
        "SLUICE_SINK_PORT=9195",
        "export SLUICE_SINK_PORT='9195'",
        'SLUICE_SINK_PORT = "9195" # mine',
        "\ufeffSLUICE_SINK_PORT=9195\r",
    ],
)
def test_a_port_is_read_from_a_line_as_users_write_it(tmp_path: Path, line: str) -> None:
    (tmp_path / ".env").write_text(f"{line}\n" if line.startswith("\ufeff") else f"SLUICE_SINK_PORT=1\n{line}\n")
    assert "SLUICE_SINK_PORT 9195" in call(tmp_path, f"env_file={tmp_path}/.env; ports").splitlines()


VOLUMES = """docker() {{
    case "$1" in
        volume) printf '%s\\n' {projects} ;;
        run) cat >/dev/null; echo "{missing}" ;;
    esac
}}; mkdir -p {folder}; cd {folder}; env_file=.env; """


def project(folder: Path, projects: str = "", missing: str = "", **environment: str) -> str:
    """Completes the settings file of a clone in ``folder``; returns the name of the project that Compose then uses."""
    shell = "".join(f"export {name}={value}; " for name, value in environment.items())
    script = VOLUMES.format(projects=projects, missing=missing, folder=folder)
    done = call(
        folder.parent, f"{shell}{script}use_profile ''; complete_settings >/dev/null; echo $COMPOSE_PROJECT_NAME"
    )
    return done.splitlines()[-1]


def test_two_clones_in_folders_of_the_same_name_share_no_volumes(tmp_path: Path) -> None:
    clones = [tmp_path / parent / "My_Sluice" for parent in "ab"]
    for clone in clones:
        clone.parent.mkdir()
    first = project(clones[0], missing="SLUICE_KAFKA_PORT=9092")
    second = project(clones[1], projects=first, missing="SLUICE_KAFKA_PORT=9092")
    for name in (first, second):
        assert re.fullmatch(r"my_sluice-[0-9a-f]{6}", name)
    assert first != second
    # The name is in the settings file: it stays when the folder is moved or the shell is another one.
    clones[0].rename(tmp_path / "moved")
    assert project(tmp_path / "moved", projects=f"{first} moved", COMPOSE_PROJECT_NAME="other") == first
    settings = (tmp_path / "moved" / ".env").read_text().splitlines()
    assert [line for line in settings if line] == ["SLUICE_KAFKA_PORT=9092", f"COMPOSE_PROJECT_NAME={first}"]


def test_a_platform_that_was_launched_before_names_were_written_keeps_its_volumes(tmp_path: Path) -> None:
    clone = tmp_path / "Sluice.old"
    clone.mkdir()
    (clone / ".env").write_text("SLUICE_KAFKA_PORT=9092")
    assert project(clone, projects="other sluiceold") == "sluiceold"
    assert (clone / ".env").read_text() == "SLUICE_KAFKA_PORT=9092\nCOMPOSE_PROJECT_NAME=sluiceold\n"
    assert project(clone, projects="other") == "sluiceold"

    named = tmp_path / "named"
    named.mkdir()
    (named / ".env").write_text("SLUICE_KAFKA_PORT=9092\n")
    assert project(named, projects="named mine", COMPOSE_PROJECT_NAME="mine") == "mine"


def test_composes_variables_for_other_projects_are_dropped(tmp_path: Path) -> None:
    script = "export COMPOSE_PROFILES=cli COMPOSE_REMOVE_ORPHANS=1; use_profile ''; env | grep ^COMPOSE_ | sort"
    assert call(tmp_path, script).splitlines() == ["COMPOSE_FILE=docker-compose.yaml", "COMPOSE_PATH_SEPARATOR=:"]


MOUNTED = ("cli", "contracts", "dags", "dashboard", "dbt", "flights", "infra", "producers", "sluice")


@pytest.mark.parametrize("closed", ["contracts", "sluice/sink/__init__.py", "dbt/models/marts"])
def test_up_and_doctor_name_a_file_that_containers_cannot_read(tmp_path: Path, closed: str) -> None:
    folder = tree(tmp_path)
    for name in ("sluice/sink/__init__.py", "dbt/models/marts/a.sql", *(f"{mounted}/a" for mounted in MOUNTED)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    # The user of the containers is not the one that runs the test.
    launcher = folder / "infra" / "docker.sh"
    launcher.write_text(launcher.read_text().replace("container_id=1000", "container_id=4711"))
    (folder / "sluice" / "__pycache__").mkdir(mode=0o700)
    doctor = run(folder, "doctor", docker=True, RUNTIME="docker")
    assert "files    ok     readable by the containers" in doctor.stdout
    path = folder / closed
    path.chmod(path.stat().st_mode & 0o770)
    for command in ("doctor", "up"):
        done = run(folder, command, docker=True, RUNTIME="docker")
        assert done.returncode == 1
        (line,) = (line for line in (done.stdout + done.stderr).splitlines() if "containers cannot read" in line)
        assert f"containers cannot read {closed}: its permissions are for its owner alone. Hint: run `chmod" in line


def test_a_settings_file_that_cannot_be_closed_to_other_users_is_named(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.touch(0o644)
    assert call(tmp_path, f"env_file={file}; protection_fault") == ""
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(0o644)
    # As on a file system that keeps no permissions.
    fault = call(tmp_path, f"env_file={file}; chmod() {{ :; }}; protection_fault")
    assert fault.startswith(f"the file system of {file} keeps no permissions: every user of this machine can read the ")


def test_months_out_of_range_are_rejected_before_anything_starts(tmp_path: Path) -> None:
    done = run(tree(tmp_path), "up", "--months", "13", docker=True)
    assert "MONTHS=13 is out of range" in done.stderr


PROGRESS = """docker() {
    printf ' %s\\n' 'Network p_default  Created' 'Container p-kafka-1  Created' 'Container p-kafka-1  Waiting' \\
        'Container p-kafka-1  Healthy' 'Container p-airflow-scheduler-1  Started' 'Container p-kafka-1  Healthy' \\
        'Container p-init-1  Exited' 'Container p-sink-2  Healthy' "manifest unknown: 'x'"
    return 3
}; launch_start=0; COMPOSE_PROJECT_NAME=p; """


def test_without_a_terminal_a_launch_prints_a_line_for_each_service_and_step(tmp_path: Path) -> None:
    printed = call(tmp_path, f"set -o pipefail; {PROGRESS} compose_up marts 2>&1 || echo exit code $?")
    lines = [re.sub(r" \(\d+ s\)$", "", line) for line in printed.splitlines()]
    assert lines == ["kafka: healthy", "init: done", "sink: healthy", "manifest unknown: 'x'", "exit code 3"]


def test_ports_are_checked_before_images_are_built(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = run(tree(tmp_path), "up", docker=True, RUNTIME="docker", SLUICE_SINK_PORT=port)
    assert done.returncode == 1
    assert f"port {port} (SLUICE_SINK_PORT) is taken by" in done.stderr
    assert "images" not in done.stdout
    assert not (tmp_path / ".sluice" / "logs").exists()


def test_ctrl_c_in_a_launch_says_which_containers_keep_running(tmp_path: Path) -> None:
    (tmp_path / ".env").touch()
    script = f"env_file={tmp_path}/.env; docker() {{ printf 'kafka\\nsink\\n'; }}; (interrupted_launch) 2>&1 || true"
    printed = call(tmp_path, script)
    assert printed.startswith("sluice: interrupted: kafka, sink keep running. Hint: `make up` resumes, `make down`")


def test_a_platform_without_a_running_container_is_down(tmp_path: Path) -> None:
    folder = tree(tmp_path)
    call(folder, "true")
    program = folder / "bin" / "docker"
    text = program.read_text().replace('case "$1 $2" in', 'case "$*" in *" ps "*) exit 0 ;; esac; case "$1 $2" in')
    program.write_text(text)
    (folder / ".env").touch()
    (folder / ".sluice").mkdir()
    (folder / ".sluice" / "runtime").write_text("docker \n")
    environment = {"PATH": f"{folder / 'bin'}:/usr/bin:/bin", "HOME": "/"}
    for command in ("status", "sql", "replay"):
        done = subprocess.run(
            [str(folder / "infra" / "sluice"), command], env=environment, capture_output=True, text=True, check=False
        )
        assert done.stderr == "sluice: the platform is down. Hint: start it with `make up`; the data is kept.\n"
        assert done.returncode == 1
