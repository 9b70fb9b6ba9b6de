"""A complete platform on real input: the marts are correct regardless of faults, kills, retries and restarts."""

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import astuple
from datetime import UTC, datetime, timedelta
from functools import partial

import httpx
import psutil
import psycopg
import pytest

from infra.processes import processes
from infra.servers.airflow import CLEANER, folder
from infra.servers.airflow_cleaner import RETENTION, clean
from infra.servers.service import environment
from sluice.contracts import load_contracts, topic_names
from sluice.kafka.topics import kafka_ranges
from sluice.orchestration.follow import trigger_run
from sluice.orchestration.rest import Airflow, NotFoundError
from sluice.settings import ROOT
from tests.fixtures import truth
from tests.fixtures.platform import Running
from tests.fixtures.waiting import wait

JANUARY = ("2013-01-01", "2013-01-31")


def _assert_marts(platform: Running, first: str, last: str) -> None:
    truth.assert_marts(platform.query, first, last)


def _load_and_transform(platform: Running) -> None:
    platform.sluice("load")
    platform.sluice("transform")


def test_the_dimensions_equal_the_reference_tables(platform: Running) -> None:
    airlines = truth.reference("airlines")
    truth.assert_equal(platform.query("select * from marts.dim_carrier"), airlines, ["carrier"])
    airports = truth.reference("airports").rename(columns={"faa": "airport", "lat": "latitude"})
    truth.assert_equal(
        platform.query("select * from marts.dim_airport where in_reference"),
        airports[["airport", "name", "latitude"]],
        ["airport"],
    )
    planes = truth.reference("planes").rename(columns={"tailnum": "tail_number"})
    truth.assert_equal(
        platform.query("select * from marts.dim_aircraft where in_reference"),
        planes[["tail_number", "model", "seats"]],
        ["tail_number"],
    )


def test_the_pages_link_to_each_other(platform: Running) -> None:
    urls = platform.settings.pages
    documentation = httpx.get(urls.dbt, trust_env=False)
    assert documentation.status_code == 200
    assert "model.sluice.fct_flights" in documentation.text
    assert f'href="{urls.airflow}"' in httpx.get(f"{urls.dashboard}/pipeline", trust_env=False).text
    airflow = Airflow(platform.settings)
    try:
        text = airflow._get("/dags/load_weather_observed/details")["doc_md"]
    finally:
        airflow.close()
    for page in (f"{urls.dashboard}/pipeline", f"{urls.lake}/weather.observed", urls.dbt):
        assert page in text


def test_airflows_command_line_triggers_a_run(platform: Running) -> None:
    output = platform.sluice("airflow", "dags", "list", "--output", "plain").stdout
    for dag_id in ("load_weather_observed", "transform", "reprocess", "reconcile", "maintain"):
        assert dag_id in output
    platform.sluice("airflow", "dags", "trigger", "maintain")


def test_airflows_records_of_old_runs_are_removed(platform: Running) -> None:
    settings = platform.settings
    airflow = Airflow(settings)
    try:
        runs = [trigger_run(airflow, "load_weather_observed") for _ in range(2)]
        wait("both runs to end", lambda: all(airflow.run(*astuple(run))["state"] == "success" for run in runs))
        old, new = runs
        month = timedelta(days=31)
        address = f"host={settings.postgres_host} port={settings.postgres_port} dbname=airflow user=airflow"
        with psycopg.connect(address, password=settings.secret("airflow_db_password")) as metadata:
            # A load has two tasks.
            for table, count in (("dag_run", 1), ("task_instance", 2)):
                query = f"update {table} set start_date = start_date - %s where run_id = %s"
                assert metadata.execute(query.encode(), (month, old.run_id)).rowcount == count
        logs = folder(settings) / "logs"
        file = next(logs.glob(f"dag_id={old.dag_id}/run_id={old.run_id}/**/*.log"))
        long_ago = time.time() - month.total_seconds()
        os.utime(file, (long_ago, long_ago))

        before = datetime.now(UTC) - RETENTION
        line = clean(logs, before, environment(CLEANER, settings))
        print(line)
        assert " dag_run=1 " in line
        assert " task_instance=2 " in line
        assert " log_files=1 " in line
        with pytest.raises(NotFoundError):
            airflow.run(*astuple(old))
        assert airflow.run(*astuple(new))["state"] == "success"
        assert not file.exists()
        assert list(logs.glob(f"dag_id={new.dag_id}/run_id={new.run_id}/**/*.log"))
        line = clean(logs, before, environment(CLEANER, settings))
        assert line == f"removed old runs: before={before:%Y-%m-%d} log_files=0 log_kib=0"
    finally:
        airflow.close()
    platform.sluice("load")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["replay", "--from", "2012-01-01", "--to", "2013-01-01"], "2013"),
        (["replay", "--from", "2013-02-02", "--to", "2013-02-01"], "2013-02-0"),
        (["replay", "--from", "tomorrow", "--to", "2013-02-01"], "tomorrow"),
        (["replay", "--from", "2013-01-01", "--to", "2013-01-01", "--streams", "flights.lost"], "flights.departed"),
        (["backfill", "--from", "2013-02-02", "--to", "2013-02-01"], "2013-02-0"),
        (["backfill", "--from", "2011-01-01", "--to", "2011-01-02"], "2013"),
        (["backfill", "--from", "2013-01-01", "--to", "2013-01-02", "--stream", "flights.lost"], "flights.departed"),
        (["load", "--stream", "flights.lost"], "flights.departed"),
        (["peek", "flights.lost"], "flights.departed"),
        (["sql", "--as", "nobody", "select 1"], "nobody"),
    ],
)
def test_invalid_input_is_an_error_of_one_line(platform: Running, arguments: list[str], message: str) -> None:
    done = platform.sluice(*arguments, check=False)
    assert done.returncode == 1
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_an_error_names_a_taken_port_and_its_process(platform: Running, tmp_path: object) -> None:
    other = platform.file.with_name("other.env")
    text = platform.file.read_text()
    other.write_text(re.sub(r"SLUICE_HOME=.*", f"SLUICE_HOME={platform.settings.home.with_name('other')}", text))
    done = subprocess.run(
        [sys.executable, "-m", "cli", "up"],
        env={**os.environ, "SLUICE_ENV_FILE": str(other)},
        cwd=ROOT,
        text=True,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert re.search(
        rf"port {platform.settings.kafka_port} \(SLUICE_KAFKA_PORT\).* taken by process \d+ \(`", done.stderr
    )
    assert "Traceback" not in done.stderr


def test_killing_each_server_during_a_replay_loses_and_duplicates_nothing(platform: Running) -> None:
    # About ninety seconds of events, so that each server dies while they flow.
    replay = subprocess.Popen(
        [sys.executable, "-m", "cli", "replay", "--from=2013-02-04", "--to=2013-02-05", "--speed=2000"],
        env=platform.environment,
        cwd=ROOT,
    )
    try:
        before = _in_kafka(platform)
        wait("events in Kafka", lambda: _in_kafka(platform) > before)
        producer = psutil.Process(replay.pid).children()[0]
        producer.kill()
        wait("a new producer", lambda: any(child != producer for child in psutil.Process(replay.pid).children()))
        # It sends again before Kafka dies: a producer does not start without Kafka.
        before = _in_kafka(platform)
        wait("events in Kafka", lambda: _in_kafka(platform) > before)
        for name in (service.name for service in platform.services().status() if service.state != "off"):
            if name == "producer":
                continue
            # One at a time, and each from health: a server may have gone down with one that was killed before it.
            killed = wait(f"{name} to be healthy", partial(_healthy_pid, platform, name))
            os.kill(killed, signal.SIGKILL)
            wait(f"another {name} to be healthy", partial(_is_replaced, platform, name, killed))
        assert replay.wait(timeout=600) == 0
    finally:
        if replay.poll() is None:
            replay.terminate()
            replay.wait()
    platform.wait_until_healthy()
    _load_and_transform(platform)
    _assert_marts(platform, "2013-02-04", "2013-02-05")
    platform.sluice("reconcile", "--wait")


def test_down_and_up_lose_and_duplicate_nothing(platform: Running) -> None:
    _load_and_transform(platform)
    tables = ("fct_flights", "agg_carrier_daily", "agg_airport_hourly")
    before = [platform.checksum(table) for table in tables]
    rows = platform.query("select count(*) from raw.flights_departed").iloc[0, 0]
    platform.sluice("down")
    assert processes.owned(platform.settings.home) == []
    platform.sluice("up", "--no-live")
    platform.sluice("reconcile", "--wait")
    assert [platform.checksum(table) for table in tables] == before
    assert platform.query("select count(*) from raw.flights_departed").iloc[0, 0] == rows


def _healthy_pid(platform: Running, name: str) -> int:
    """Returns the process id of a healthy server, or 0."""
    status = next(service for service in platform.services().status() if service.name == name)
    return status.pid if status.healthy else 0


def _is_replaced(platform: Running, name: str, killed: int) -> bool:
    return _healthy_pid(platform, name) not in (0, killed)


def _in_kafka(platform: Running) -> int:
    topics = topic_names(load_contracts(platform.settings.contracts))
    return sum(partition.end for partition in kafka_ranges(platform.settings, topics))
