"""With tasks on workers the truth is the same, also when a worker dies; and nobody knows more than he must."""

import os
import re
import signal
import subprocess
import sys

import psutil
import pytest
from redis import AuthenticationError, Redis

from infra.processes import processes
from sluice.orchestration.rest import Airflow
from sluice.settings import ROOT, Settings
from tests.e2e import test_platform as native
from tests.e2e import truth
from tests.e2e.conftest import Running
from tests.e2e.test_backfill import attempts
from tests.waiting import wait

WORKERS = ("airflow-worker-1", "airflow-worker-2")
DATES = ("2013-01-05", "2013-01-19")
TABLES = ("fct_flights", "agg_carrier_daily", "agg_airport_hourly")

# The same tests as with tasks in the scheduler; pytest finds them here by their names.
test_january_is_in_the_marts_row_by_row = native.test_january_is_in_the_marts_row_by_row
test_kafka_lake_and_warehouse_agree = native.test_kafka_lake_and_warehouse_agree
test_every_service_is_healthy_and_on_loopback_alone = native.test_every_service_is_healthy_and_on_loopback_alone
test_up_again_changes_nothing = native.test_up_again_changes_nothing


def done_by(settings: Settings, worker: str) -> int:
    """How many tasks a worker has finished."""
    return len(re.findall(r"succeeded in", (settings.home / "logs" / f"{worker}.log").read_text()))


def running_task(settings: Settings, worker: str) -> psutil.Process | None:
    """The process of a task that runs on a worker now."""
    for process, service in processes.owned(settings.home):
        try:
            # As Airflow calls the process of a task.
            if service == worker and " ".join(process.cmdline()).startswith("airflow worker -- "):
                return process
        except psutil.NoSuchProcess:
            continue
    return None


def test_tasks_run_on_the_workers(settings: Settings) -> None:
    # Those of the launch: four loads and a transform.
    assert sum(done_by(settings, worker) for worker in WORKERS) >= 5


def test_the_scheduler_holds_no_secret_of_the_warehouse_and_workers_none_that_signs(
    platform: Running, settings: Settings
) -> None:
    pids = {each.name: each.pid for each in platform.services().status()}
    scheduler = psutil.Process(pids["airflow-scheduler"]).environ().values()
    worker = psutil.Process(pids[WORKERS[0]]).environ().values()
    for name in ("loader_password", "transformer_password", "reader_password", "lake_reader_password"):
        assert not any(settings.secret(name) in value for value in scheduler)
        assert any(settings.secret(name) in value for value in worker)
    for name in ("airflow_jwt_secret", "airflow_api_secret_key", "airflow_fernet_key", "lake_writer_password"):
        assert not any(settings.secret(name) in value for value in worker)


@pytest.mark.parametrize("password", [None, "", "redis", "password"])
def test_redis_takes_no_default_password(settings: Settings, password: str | None) -> None:
    client = Redis(settings.redis_host, settings.redis_port, password=password)
    with client, pytest.raises(AuthenticationError):
        client.ping()


def test_a_worker_dies_during_a_backfill_and_nothing_is_lost(platform: Running, settings: Settings) -> None:
    before = [platform.checksum(table) for table in TABLES]
    backfill = subprocess.Popen(
        [sys.executable, "-m", "cli", "backfill", "--from", DATES[0], "--to", DATES[1]],
        env=platform.environment,
        cwd=ROOT,
    )
    victim = WORKERS[0]
    finished = done_by(settings, WORKERS[1])
    wait("a task on the worker", lambda: running_task(settings, victim) is not None)
    # As when its machine dies: with all that it has started, in the middle of a task.
    for process, service in processes.owned(settings.home):
        if service == victim:
            process.kill()
    assert backfill.wait(timeout=600) == 0
    airflow = Airflow(settings)
    try:
        assert max(tries for _, tries in attempts(airflow, *DATES).values()) > 1
    finally:
        airflow.close()
    assert done_by(settings, WORKERS[1]) > finished
    assert [platform.checksum(table) for table in TABLES] == before
    wait("all back", lambda: all(each.healthy for each in platform.services().status()))


def test_a_replay_is_loaded_and_transformed_while_redis_dies(platform: Running, settings: Settings) -> None:
    platform.sluice("replay", "--from", "2013-02-01", "--to", "2013-02-02")
    os.kill(next(each.pid for each in platform.services().status() if each.name == "redis"), signal.SIGKILL)
    platform.sluice("load")
    platform.sluice("transform")
    truth.marts_are_true(platform.query, "2013-02-01", "2013-02-02")
    platform.sluice("reconcile")
    wait("all back", lambda: all(each.healthy for each in platform.services().status()))


def test_down_ends_the_workers_too_and_up_brings_them_back(platform: Running, settings: Settings) -> None:
    platform.sluice("down")
    assert processes.owned(settings.home) == []
    platform.sluice("up", "--no-live")
    platform.sluice("status")
    platform.sluice("reconcile")
