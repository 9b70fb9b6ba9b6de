"""Tasks on Celery workers: the marts are correct even if a worker dies, and each process has only its own secrets."""

import os
import re
import signal
import subprocess
import sys
from contextlib import suppress

import psutil
import pytest
from redis import AuthenticationError, Redis

from infra.processes import processes
from sluice.orchestration.rest import Airflow
from sluice.settings import ROOT, Settings
from tests.e2e.test_backfill import attempts
from tests.fixtures import truth
from tests.fixtures.held_date import held_date
from tests.fixtures.platform import Running

WORKERS = ("airflow-worker-1", "airflow-worker-2")
DATES = ("2013-01-05", "2013-01-19")
TABLES = ("fct_flights", "agg_carrier_daily", "agg_airport_hourly")


def finished_tasks(settings: Settings, worker: str) -> int:
    """Returns how many tasks a worker has finished."""
    return len(re.findall(r"succeeded in", (settings.home / "logs" / f"{worker}.log").read_text()))


def _service_with_port(settings: Settings, port: int) -> str | None:
    """Returns the service whose process has a connection from a local port."""
    for process, service in processes.owned(settings.home):
        # Processes of finished tasks end meanwhile.
        with suppress(psutil.NoSuchProcess):
            if any(connection.laddr.port == port for connection in process.net_connections("tcp")):
                return service
    return None


def test_tasks_run_on_the_workers(settings: Settings) -> None:
    # The launch has run four loads and a transform.
    assert sum(finished_tasks(settings, worker) for worker in WORKERS) >= 5


def test_the_scheduler_has_no_warehouse_secret_and_workers_have_no_signing_key(
    platform: Running, settings: Settings
) -> None:
    pids = {service.name: service.pid for service in platform.services().status()}
    scheduler = psutil.Process(pids["airflow-scheduler"]).environ().values()
    worker = psutil.Process(pids[WORKERS[0]]).environ().values()
    for name in ("loader_password", "transformer_password", "reader_password", "lake_reader_password"):
        assert not any(settings.secret(name) in value for value in scheduler)
        assert any(settings.secret(name) in value for value in worker)
    for name in ("airflow_jwt_secret", "airflow_api_secret_key", "airflow_fernet_key", "lake_writer_password"):
        assert not any(settings.secret(name) in value for value in worker)


@pytest.mark.parametrize("password", [None, "", "redis", "password"])
def test_redis_rejects_default_passwords(settings: Settings, password: str | None) -> None:
    client = Redis(settings.redis_host, settings.redis_port, password=password)
    with client, pytest.raises(AuthenticationError):
        client.ping()


def test_nothing_is_lost_if_a_worker_dies_during_a_backfill(platform: Running, settings: Settings) -> None:
    before = [platform.checksum(table) for table in TABLES]
    finished = {worker: finished_tasks(settings, worker) for worker in WORKERS}
    with held_date(settings, "flights.arrived", DATES[1]) as held:
        backfill = subprocess.Popen(
            [sys.executable, "-m", "cli", "backfill", "--from", DATES[0], "--to", DATES[1]],
            env=platform.environment,
            cwd=ROOT,
        )
        victim = _service_with_port(settings, held.wait_for_reload())
        assert victim in WORKERS
        # As if its machine died: all its processes are killed, while the task waits for the lock.
        for process, service in processes.owned(settings.home):
            if service == victim:
                process.kill()
    assert backfill.wait(timeout=600) == 0
    airflow = Airflow(settings)
    try:
        state, tries = attempts(airflow, *DATES)[DATES[1]]
        assert state == "success"
        assert tries > 1
    finally:
        airflow.close()
    survivor = next(worker for worker in WORKERS if worker != victim)
    assert finished_tasks(settings, survivor) > finished[survivor]
    assert [platform.checksum(table) for table in TABLES] == before
    platform.wait_until_healthy()


def test_a_replay_is_loaded_and_transformed_although_redis_dies(platform: Running, settings: Settings) -> None:
    platform.sluice("replay", "--from", "2013-02-01", "--to", "2013-02-02")
    os.kill(next(service.pid for service in platform.services().status() if service.name == "redis"), signal.SIGKILL)
    platform.sluice("load")
    platform.sluice("transform")
    truth.assert_marts(platform.query, "2013-02-01", "2013-02-02")
    platform.sluice("reconcile", "--wait")
    platform.wait_until_healthy()


def test_down_stops_the_workers_and_up_restarts_them(platform: Running, settings: Settings) -> None:
    platform.sluice("down")
    assert processes.owned(settings.home) == []
    platform.sluice("up", "--no-live")
    platform.wait_until_healthy()
    platform.sluice("reconcile", "--wait")
