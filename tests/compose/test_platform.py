"""In containers the platform shows the same truth, survives the same, and no part of it can do more than it should."""

import io
import json
import os
import re
import shlex
import signal
import socket
import subprocess
from typing import Any

import httpx
import psycopg
import pytest
from minio import Minio
from minio.error import S3Error

from infra.servers.services import SERVICES
from sluice.contracts import load_contracts
from sluice.kafka.topics import kafka_ranges
from sluice.settings import ROOT
from tests.compose.conftest import Containers, docker

# The same tests as without containers; pytest finds them here by their names.
from tests.e2e import test_platform as native
from tests.e2e import truth
from tests.integration import test_access as access
from tests.waiting import wait

test_january_is_in_the_marts_row_by_row = native.test_january_is_in_the_marts_row_by_row
test_the_dimensions_are_the_reference_tables = native.test_the_dimensions_are_the_reference_tables
test_kafka_lake_and_warehouse_agree = native.test_kafka_lake_and_warehouse_agree
test_the_pages_lead_to_one_another = native.test_the_pages_lead_to_one_another
test_a_disturbed_replay_ends_in_the_truth = native.test_a_disturbed_replay_ends_in_the_truth
test_a_date_backfilled_is_as_it_was = native.test_a_date_backfilled_is_as_it_was
test_one_task_is_cleared_and_runs_again_alone = native.test_one_task_is_cleared_and_runs_again_alone
test_airflows_own_command_line_triggers_a_run = native.test_airflows_own_command_line_triggers_a_run
test_wrong_input_is_answered_in_one_line = native.test_wrong_input_is_answered_in_one_line
test_down_and_up_lose_nothing_and_do_nothing_twice = native.test_down_and_up_lose_nothing_and_do_nothing_twice

test_the_lakes_reader_cannot_write = access.test_the_lakes_reader_cannot_write
test_only_the_keeper_can_delete = access.test_only_the_keeper_can_delete
test_no_user_of_the_lake_can_make_buckets = access.test_no_user_of_the_lake_can_make_buckets
test_a_role_cannot_do_what_is_not_its_work = access.test_a_role_cannot_do_what_is_not_its_work


def test_every_service_runs_without_root_and_cannot_change_its_image(platform: Containers) -> None:
    containers = platform.all()
    assert containers.keys() == SERVICES.keys() - {"producer"}
    for name, found in containers.items():
        assert docker("exec", found["Id"], "id", "-u").strip() != "0", name
        assert subprocess.run(["docker", "exec", found["Id"], "touch", "/usr/x"], capture_output=True).returncode != 0
        status = docker("exec", found["Id"], "cat", "/proc/1/status")
        assert re.search(r"^CapBnd:\s+0+$", status, re.MULTILINE), name
        assert re.search(r"^NoNewPrivs:\s+1$", status, re.MULTILINE), name
        assert found["HostConfig"]["Memory"] > 0


def test_every_port_is_on_loopback_alone(platform: Containers) -> None:
    published = [
        binding
        for found in platform.all().values()
        for bindings in found["NetworkSettings"]["Ports"].values()
        for binding in bindings or ()
    ]
    names = [name for service in SERVICES.values() for name in service.ports if name != "kafka_controller_port"]
    assert {int(each["HostPort"]) for each in published} == {getattr(platform.settings, name) for name in names}
    assert {binding["HostIp"] for binding in published} == {"127.0.0.1"}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        # Nothing is sent: it only says which address would be taken to reach another machine.
        probe.connect(("192.0.2.1", 9))
        address = probe.getsockname()[0]
    assert not address.startswith("127.")
    for binding in published:
        with socket.socket() as caller:
            caller.settimeout(3)
            assert caller.connect_ex((address, int(binding["HostPort"]))) != 0


def test_a_container_knows_its_own_secrets_and_no_others_and_no_log_holds_one(platform: Containers) -> None:
    secrets = dict(re.findall(r"SLUICE_(\w+_(?:PASSWORD|KEY|SECRET))=(\S+)", platform.file.read_text()))
    assert len(secrets) > 8
    assert platform.file.stat().st_mode & 0o777 == 0o600
    known = {
        name: {secret for secret, value in secrets.items() if value in " ".join(found["Config"]["Env"])}
        for name, found in platform.all().items()
    }
    assert known["kafka"] == set()
    assert known["sink"] == {"LAKE_WRITER_PASSWORD"}
    assert known["postgres"] == {"POSTGRES_PASSWORD"}
    assert "MINIO_ROOT_PASSWORD" not in known["airflow-scheduler"] | known["airflow-api-server"]
    logs = platform.sluice("logs").stdout
    logs += docker(
        "exec", platform.all()["airflow-scheduler"]["Id"], "sh", "-c", "cat $(find airflow -name '*.log')", check=False
    )
    assert len(logs) > 1000
    assert not [name for name, value in secrets.items() if value in logs]
    history = docker("history", "--no-trunc", "sluice-platform") + docker("history", "--no-trunc", "sluice-minio")
    assert not [name for name, value in secrets.items() if value in history]


@pytest.mark.parametrize("password", ["", "postgres", "password", "sluice"])
def test_postgres_takes_no_default_password(platform: Containers, password: str) -> None:
    where: dict[str, Any] = {"host": platform.settings.postgres_host, "port": platform.settings.postgres_port}
    for user in ("postgres", "airflow", "sluice_loader", "sluice_reader"):
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(**where, user=user, password=password, dbname="postgres")


@pytest.mark.parametrize("user", ["minioadmin", "minio", "sluice-root", "admin"])
def test_minio_takes_no_default_password(platform: Containers, user: str) -> None:
    for password in ("minioadmin", "minio123", "password", "sluice-root"):
        client = Minio(endpoint=platform.settings.minio, access_key=user, secret_key=password, secure=False)
        with pytest.raises(S3Error, match=r"InvalidAccessKeyId|SignatureDoesNotMatch"):
            client.put_object(bucket_name="lake", object_name="x", data=io.BytesIO(b""), length=0)


@pytest.mark.parametrize("password", ["admin", "airflow", "password"])
def test_airflow_takes_no_default_password(platform: Containers, password: str) -> None:
    for user in ("admin", "airflow"):
        body = {"username": user, "password": password}
        answer = httpx.post(f"{platform.settings.airflow}/auth/token", json=body, trust_env=False, timeout=30)
        assert answer.status_code in (401, 403)


def test_at_rest_it_keeps_to_its_memory(platform: Containers) -> None:
    last = platform.sluice("status").stdout.splitlines()[-1]
    assert int(last.split()[1]) <= 4096, last


def test_a_killed_container_starts_again_and_nothing_is_lost(platform: Containers) -> None:
    # Some ninety seconds of events, so that each server dies while they flow.
    replay = subprocess.Popen(
        [*platform.program, "replay", "--from=2013-02-04", "--to=2013-02-05", "--speed=2000"],
        env=platform.environment,
        cwd=ROOT,
    )
    before = in_kafka(platform)
    wait("events in Kafka", lambda: in_kafka(platform) > before)
    for name in SERVICES.keys() & platform.all().keys():
        kill(platform, name)
        # One at a time: the next dies when this one is back.
        wait(f"{name} back", lambda: platform.healthy("cli"))
    assert replay.wait(timeout=600) == 0
    platform.sluice("load")
    platform.sluice("transform")
    truth.marts_are_true(platform.query, "2013-02-04", "2013-02-05")
    platform.sluice("reconcile")


def test_a_container_that_was_stopped_by_hand_comes_back_with_up(platform: Containers) -> None:
    for name in ("sink", "postgres"):
        docker("kill", platform.all()[name]["Id"])
    assert platform.sluice("status", check=False).returncode == 1
    platform.sluice("up", "--no-live")
    platform.sluice("status")
    platform.sluice("reconcile")


def test_a_restarted_engine_loses_nothing(platform: Containers) -> None:
    command = os.environ.get("RESTART_ENGINE")
    if not command:
        pytest.skip("it ends every container of this machine: RESTART_ENGINE='systemctl restart docker' allows it")
    before = platform.checksum("fct_flights")
    subprocess.run(shlex.split(command), check=True)
    wait("the platform back", platform.healthy, seconds=300)
    platform.sluice("reconcile")
    assert platform.checksum("fct_flights") == before


def test_another_way_or_a_taken_port_is_refused_with_the_mend(platform: Containers, tmp_path: object) -> None:
    done = subprocess.run(
        [*platform.program, "status"],
        env={**platform.environment, "RUNTIME": "native"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "make clean" in done.stderr
    other = {**platform.environment, "COMPOSE_PROJECT_NAME": f"{platform.project}-other"}
    done = subprocess.run([*platform.program, "up"], env=other, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"port {platform.settings.kafka_port} (SLUICE_KAFKA_PORT) is taken by" in done.stderr


def kill(platform: Containers, name: str) -> None:
    """Kills a service's process as a fault would, and returns when there is another."""
    before = platform.all()[name]
    try:
        os.kill(before["State"]["Pid"], signal.SIGKILL)
    except (PermissionError, ProcessLookupError):
        # Not root, or the engine is on another machine. What `docker kill` ends, the engine does not start again.
        docker("kill", before["Id"])
        docker("start", before["Id"])
    gone = (0, before["State"]["Pid"])
    wait(f"{name} started", lambda: json.loads(docker("inspect", before["Id"]))[0]["State"]["Pid"] not in gone)


def in_kafka(platform: Containers) -> int:
    """How many events Kafka has taken."""
    return sum(each.end for each in kafka_ranges(platform.settings, list(load_contracts(platform.settings.contracts))))
