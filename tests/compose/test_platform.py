"""In containers the marts are correct, faults lose nothing, and no container has more rights than it needs."""

import io
import json
import os
import re
import shlex
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from minio import Minio
from minio.error import S3Error

from infra.servers.services import SERVICES
from sluice.contracts import load_contracts, topic_names
from sluice.kafka.topics import kafka_ranges
from sluice.settings import ROOT

# The same tests as without containers; pytest finds them here by their names.
from tests.acceptance import test_exercises as exercises
from tests.acceptance import test_platform as acceptance
from tests.compose.conftest import Containers, docker
from tests.e2e import test_platform as native
from tests.fixtures import truth
from tests.fixtures.waiting import wait
from tests.integration import test_access as access

test_an_exercise_is_solved_by_its_commands = exercises.test_an_exercise_is_solved_by_its_commands
test_the_marts_show_january_row_by_row = acceptance.test_the_marts_show_january_row_by_row
test_the_dimensions_equal_the_reference_tables = native.test_the_dimensions_equal_the_reference_tables
test_the_pages_link_to_each_other = native.test_the_pages_link_to_each_other
test_the_marts_are_correct_after_a_replay_with_faults = acceptance.test_the_marts_are_correct_after_a_replay_with_faults
test_a_backfill_of_correct_dates_changes_nothing = acceptance.test_a_backfill_of_correct_dates_changes_nothing
test_airflows_command_line_triggers_a_run = native.test_airflows_command_line_triggers_a_run
test_invalid_input_is_an_error_of_one_line = native.test_invalid_input_is_an_error_of_one_line
test_down_and_up_lose_and_duplicate_nothing = native.test_down_and_up_lose_and_duplicate_nothing

test_the_lakes_reader_cannot_write = access.test_the_lakes_reader_cannot_write
test_only_the_keeper_can_delete = access.test_only_the_keeper_can_delete
test_no_user_of_the_lake_can_create_buckets = access.test_no_user_of_the_lake_can_create_buckets
test_a_role_has_least_privileges = access.test_a_role_has_least_privileges


def test_no_service_runs_as_root_or_can_write_to_its_image(platform: Containers) -> None:
    containers = platform.containers()
    assert containers.keys() == SERVICES.keys() - {"producer"}
    for name, container in containers.items():
        assert docker("exec", container["Id"], "id", "-u").strip() != "0", name
        written = subprocess.run(["docker", "exec", container["Id"], "touch", "/usr/x"], capture_output=True)
        assert written.returncode != 0
        status = docker("exec", container["Id"], "cat", "/proc/1/status")
        assert re.search(r"^CapBnd:\s+0+$", status, re.MULTILINE), name
        assert re.search(r"^NoNewPrivs:\s+1$", status, re.MULTILINE), name
        assert container["HostConfig"]["Memory"] > 0


def test_ports_are_published_on_loopback_only(platform: Containers) -> None:
    published = [
        binding
        for container in platform.containers().values()
        for bindings in container["NetworkSettings"]["Ports"].values()
        for binding in bindings or ()
    ]
    names = [name for service in SERVICES.values() for name in service.ports if name != "kafka_controller_port"]
    assert {int(binding["HostPort"]) for binding in published} == {getattr(platform.settings, name) for name in names}
    assert {binding["HostIp"] for binding in published} == {"127.0.0.1"}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        # Sends nothing: it only selects the source address for reaching another machine.
        probe.connect(("192.0.2.1", 9))
        address = probe.getsockname()[0]
    assert not address.startswith("127.")
    for binding in published:
        with socket.socket() as client:
            client.settimeout(3)
            assert client.connect_ex((address, int(binding["HostPort"]))) != 0


def test_a_container_has_only_its_own_secrets_and_no_log_contains_one(platform: Containers) -> None:
    secrets = dict(re.findall(r"SLUICE_(\w+_(?:PASSWORD|KEY|SECRET))=(\S+)", platform.file.read_text()))
    assert len(secrets) > 8
    assert platform.file.stat().st_mode & 0o777 == 0o600
    received = {
        name: {secret for secret, value in secrets.items() if value in " ".join(container["Config"]["Env"])}
        for name, container in platform.containers().items()
    }
    assert received["kafka"] == set()
    assert received["sink"] == {"LAKE_WRITER_PASSWORD"}
    assert received["postgres"] == {"POSTGRES_PASSWORD"}
    assert "MINIO_ROOT_PASSWORD" not in received["airflow-scheduler"] | received["airflow-api-server"]
    logs = platform.sluice("logs").stdout
    scheduler = platform.containers()["airflow-scheduler"]["Id"]
    logs += docker("exec", scheduler, "sh", "-c", "cat $(find airflow -name '*.log')", check=False)
    assert len(logs) > 1000
    assert not [name for name, value in secrets.items() if value in logs]
    history = docker("history", "--no-trunc", "sluice-platform") + docker("history", "--no-trunc", "sluice-minio")
    assert not [name for name, value in secrets.items() if value in history]


@pytest.mark.parametrize("password", ["", "postgres", "password", "sluice"])
def test_postgres_rejects_default_passwords(platform: Containers, password: str) -> None:
    server: dict[str, Any] = {"host": platform.settings.postgres_host, "port": platform.settings.postgres_port}
    for user in ("postgres", "airflow", "sluice_loader", "sluice_reader"):
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(**server, user=user, password=password, dbname="postgres")


@pytest.mark.parametrize("user", ["minioadmin", "minio", "sluice-root", "admin"])
def test_minio_rejects_default_passwords(platform: Containers, user: str) -> None:
    for password in ("minioadmin", "minio123", "password", "sluice-root"):
        client = Minio(endpoint=platform.settings.minio, access_key=user, secret_key=password, secure=False)
        with pytest.raises(S3Error, match=r"InvalidAccessKeyId|SignatureDoesNotMatch"):
            client.put_object(bucket_name="lake", object_name="x", data=io.BytesIO(b""), length=0)


@pytest.mark.parametrize("password", ["admin", "airflow", "password"])
def test_airflow_rejects_default_passwords(platform: Containers, password: str) -> None:
    for user in ("admin", "airflow"):
        body = {"username": user, "password": password}
        response = httpx.post(f"{platform.settings.airflow}/auth/token", json=body, trust_env=False, timeout=30)
        assert response.status_code in (401, 403)


def test_at_rest_the_platform_stays_within_its_memory_limit(platform: Containers) -> None:
    last = platform.sluice("status").stdout.splitlines()[-1]
    assert int(last.split()[1]) <= 4096, last


def test_a_killed_container_restarts_and_nothing_is_lost(platform: Containers) -> None:
    # About ninety seconds of events, so that every server is killed while they arrive.
    replay = subprocess.Popen(
        [*platform.program, "replay", "--from=2013-02-04", "--to=2013-02-05", "--speed=2000"],
        env=platform.environment,
        cwd=ROOT,
    )
    before = in_kafka(platform)
    wait("events in Kafka", lambda: in_kafka(platform) > before)
    for name in SERVICES.keys() & platform.containers().keys():
        kill(platform, name)
        # One at a time: the next is killed once this one is healthy again.
        wait(f"{name} healthy", lambda: platform.healthy("cli"))
    assert replay.wait(timeout=600) == 0
    platform.sluice("load")
    platform.sluice("transform")
    truth.assert_marts(platform.query, "2013-02-04", "2013-02-05")
    platform.sluice("reconcile", "--wait")


def test_up_restarts_containers_that_were_stopped_by_hand(platform: Containers) -> None:
    for name in ("sink", "postgres"):
        docker("kill", platform.containers()[name]["Id"])
    assert platform.sluice("status", check=False).returncode == 1
    platform.sluice("up", "--no-live")
    platform.sluice("status")
    platform.sluice("reconcile", "--wait")


def test_a_restarted_engine_loses_nothing(platform: Containers) -> None:
    command = os.environ.get("RESTART_ENGINE")
    if not command:
        pytest.skip("stops every container on this machine; RESTART_ENGINE='systemctl restart docker' enables it")
    before = platform.checksum("fct_flights")
    subprocess.run(shlex.split(command), check=True)
    wait("the platform healthy", platform.healthy, seconds=300)
    platform.sluice("reconcile", "--wait")
    assert platform.checksum("fct_flights") == before


def test_another_runtime_or_a_taken_port_is_an_error_with_a_hint(platform: Containers, tmp_path: Path) -> None:
    done = subprocess.run(
        [*platform.program, "status"],
        env={**platform.environment, "RUNTIME": "native"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Hint: unset RUNTIME, or run `make clean` first." in done.stderr
    file = tmp_path / "settings.env"
    file.write_text(platform.file.read_text().replace(platform.project, f"{platform.project}-other"))
    other = {**platform.environment, "SLUICE_ENV_FILE": str(file)}
    done = subprocess.run([*platform.program, "up"], env=other, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"port {platform.settings.kafka_port} (SLUICE_KAFKA_PORT) is taken by" in done.stderr


def kill(platform: Containers, name: str) -> None:
    """Kills a service's process and returns once the engine has started another."""
    before = platform.containers()[name]
    try:
        os.kill(before["State"]["Pid"], signal.SIGKILL)
    except (PermissionError, ProcessLookupError):
        # Not root, or a remote engine. The engine does not restart a container that `docker kill` has stopped.
        docker("kill", before["Id"])
        docker("start", before["Id"])
    old_pids = (0, before["State"]["Pid"])
    wait(f"{name} started", lambda: json.loads(docker("inspect", before["Id"]))[0]["State"]["Pid"] not in old_pids)


def in_kafka(platform: Containers) -> int:
    """Returns the number of events that Kafka has received."""
    topics = topic_names(load_contracts(platform.settings.contracts))
    return sum(partition.end for partition in kafka_ranges(platform.settings, topics))
