"""The whole platform on real input: what the marts show is the truth, whatever is sent, killed or done again."""

import ipaddress
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
from infra.servers.airflow_cleaner import KEPT, clean
from infra.servers.service import environment
from infra.servers.services import SERVICES
from sluice.addresses import addresses
from sluice.contracts import load_contracts
from sluice.kafka.topics import kafka_ranges
from sluice.orchestration.follow import start
from sluice.orchestration.rest import Airflow, NotThereError
from sluice.settings import ROOT
from tests.e2e import truth
from tests.e2e.conftest import Running
from tests.waiting import wait

JANUARY = ("2013-01-01", "2013-01-31")


def _marts_are_true(platform: Running, first: str, last: str) -> None:
    truth.marts_are_true(platform.query, first, last)


def _load_and_transform(platform: Running) -> None:
    platform.sluice("load")
    platform.sluice("transform")


def test_january_is_in_the_marts_row_by_row(platform: Running) -> None:
    sums = platform.sluice(
        "sql",
        "select sum(flights), sum(departed), sum(cancelled), sum(arrived) from marts.agg_carrier_daily"
        " where flight_date between '2013-01-01' and '2013-01-31'",
    )
    assert sums.stdout.splitlines()[1] == "27004,26483,521,26398"
    _marts_are_true(platform, *JANUARY)


def test_the_dimensions_are_the_reference_tables(platform: Running) -> None:
    airlines = truth.reference("airlines")
    truth.equal(platform.query("select * from marts.dim_carrier"), airlines, ["carrier"])
    airports = truth.reference("airports").rename(columns={"faa": "airport", "lat": "latitude"})
    truth.equal(
        platform.query("select * from marts.dim_airport where in_reference"),
        airports[["airport", "name", "latitude"]],
        ["airport"],
    )
    planes = truth.reference("planes").rename(columns={"tailnum": "tail_number"})
    truth.equal(
        platform.query("select * from marts.dim_aircraft where in_reference"),
        planes[["tail_number", "model", "seats"]],
        ["tail_number"],
    )


def test_kafka_lake_and_warehouse_agree(platform: Running) -> None:
    found = platform.sluice("reconcile")
    assert "everything agrees" in found.stdout
    assert "DISAGREES" not in found.stdout


def test_the_pages_lead_to_one_another(platform: Running) -> None:
    here = addresses(platform.settings)
    documented = httpx.get(here.dbt, trust_env=False)
    assert documented.status_code == 200
    assert "model.sluice.fct_flights" in documented.text
    assert f'href="{here.airflow}"' in httpx.get(f"{here.dashboard}/pipeline", trust_env=False).text
    airflow = Airflow(platform.settings)
    try:
        text = airflow._get("/dags/load_weather_observed/details")["doc_md"]
    finally:
        airflow.close()
    for page in (f"{here.dashboard}/pipeline", f"{here.lake}/weather.observed", here.dbt):
        assert page in text


def test_every_service_is_healthy_and_on_loopback_alone(platform: Running) -> None:
    platform.sluice("status")
    pids = {process.pid for process, _ in processes.owned(platform.settings.home)}
    listening = {
        (connection.laddr.ip, connection.laddr.port, psutil.Process(connection.pid).name())
        for connection in psutil.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN and connection.pid in pids
    }
    assert len(listening) >= 6
    assert not [each for each in listening if not ipaddress.ip_address(each[0].removeprefix("::ffff:")).is_loopback]


def test_the_settings_file_is_its_owners_alone_and_no_log_holds_a_secret(platform: Running) -> None:
    assert platform.file.stat().st_mode & 0o777 == 0o600
    secrets = re.findall(r"_(?:PASSWORD|KEY|SECRET)=(\S+)", platform.file.read_text())
    assert len(secrets) > 8
    logs = [path for path in (platform.settings.home / "logs").rglob("*") if path.is_file()]
    logs += [path for path in (platform.settings.home / "airflow").rglob("*.log") if path.is_file()]
    assert logs
    for path in logs:
        text = path.read_text(errors="replace")
        assert not [path for secret in secrets if secret in text], path


def test_up_again_changes_nothing(platform: Running) -> None:
    before = {each.name: each.pid for each in platform.services().status()}
    platform.sluice("up", "--no-live")
    assert {each.name: each.pid for each in platform.services().status()} == before


def test_a_disturbed_replay_ends_in_the_truth(platform: Running) -> None:
    disturbed = ["--late", "0.05", "--duplicates", "0.05", "--corrupt", "0.01", "--invalid", "0.01", "--seed", "3"]
    sent = platform.sluice("replay", "--from", "2013-02-01", "--to", "2013-02-03", *disturbed).stdout
    expected = {kind: int(count) for count, kind in re.findall(r"(\d+) (late|duplicates?|corrupt|invalid)", sent)}
    _load_and_transform(platform)
    _marts_are_true(platform, "2013-02-01", "2013-02-03")
    _marts_are_true(platform, *JANUARY)
    quarantine = platform.query("select count(*) as n, count(*) filter (where reason = '') as bare from raw.quarantine")
    assert expected["corrupt"] > 0
    assert expected["invalid"] > 0
    assert tuple(quarantine.iloc[0]) == (expected["corrupt"] + expected["invalid"], 0)
    platform.sluice("reconcile")


def test_a_date_backfilled_is_as_it_was(platform: Running) -> None:
    tables = ("fct_flights", "agg_carrier_daily", "agg_airport_hourly")
    before = [platform.checksum(table) for table in tables]
    platform.sluice("backfill", "--from", "2013-01-10", "--to", "2013-01-11")
    assert [platform.checksum(table) for table in tables] == before
    platform.sluice("reconcile")


def test_one_task_is_cleared_and_runs_again_alone(platform: Running) -> None:
    airflow = Airflow(platform.settings)
    try:
        run_id = start(airflow, "load_flights_departed").run_id
        wait("the run's end", lambda: airflow.run("load_flights_departed", run_id)["state"] in ("success", "failed"))
        before = airflow.tasks("load_flights_departed", run_id)
        chosen = before[0]["task_id"]
        airflow._post(
            "/dags/load_flights_departed/clearTaskInstances",
            {"dry_run": False, "dag_run_id": run_id, "task_ids": [chosen], "only_failed": False},
        )
        wait(
            "the task's second end",
            lambda: (
                {task["task_id"]: task["try_number"] for task in airflow.tasks("load_flights_departed", run_id)}[chosen]
                == before[0]["try_number"] + 1
                and airflow.run("load_flights_departed", run_id)["state"] in ("success", "failed")
            ),
        )
        assert airflow.run("load_flights_departed", run_id)["state"] == "success"
        log = airflow.log("load_flights_departed", run_id, chosen, before[0]["try_number"] + 1)
        assert any("flights.departed" in str(entry) for entry in log)
    finally:
        airflow.close()


def test_airflows_own_command_line_triggers_a_run(platform: Running) -> None:
    listed = platform.sluice("airflow", "dags", "list", "--output", "plain").stdout
    for dag_id in ("load_weather_observed", "transform", "rebuild", "reconcile", "maintain"):
        assert dag_id in listed
    platform.sluice("airflow", "dags", "trigger", "maintain")


def test_what_airflow_keeps_of_runs_that_are_long_over_goes(platform: Running) -> None:
    settings = platform.settings
    airflow = Airflow(settings)
    try:
        runs = [start(airflow, "load_weather_observed") for _ in range(2)]
        wait("both runs' end", lambda: all(airflow.run(*astuple(run))["state"] == "success" for run in runs))
        old, new = runs
        month = timedelta(days=31)
        address = f"host={settings.postgres_host} port={settings.postgres_port} dbname=airflow user=airflow"
        with psycopg.connect(address, password=settings.secret("airflow_db_password")) as metadata:
            for table in ("dag_run", "task_instance"):
                aged = f"update {table} set start_date = start_date - %s where run_id = %s"
                assert metadata.execute(aged.encode(), (month, old.run_id)).rowcount == 1
        logs = folder(settings) / "logs"
        file = next(logs.glob(f"dag_id={old.dag_id}/run_id={old.run_id}/**/*.log"))
        long_ago = time.time() - month.total_seconds()
        os.utime(file, (long_ago, long_ago))

        before = datetime.now(UTC) - KEPT
        said = clean(logs, before, environment(CLEANER, settings))
        print(said)
        assert "1 of dag_run" in said
        assert "1 of task_instance" in said
        assert "; 1 log files" in said
        with pytest.raises(NotThereError):
            airflow.run(*astuple(old))
        assert airflow.run(*astuple(new))["state"] == "success"
        assert not file.exists()
        assert list(logs.glob(f"dag_id={new.dag_id}/run_id={new.run_id}/**/*.log"))
        assert clean(logs, before, environment(CLEANER, settings)).endswith("rows none; 0 log files, 0 KiB")
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
        (["sql", "select * from nowhere"], "nowhere"),
    ],
)
def test_wrong_input_is_answered_in_one_line(platform: Running, arguments: list[str], message: str) -> None:
    done = platform.sluice(*arguments, check=False)
    assert done.returncode == 1
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_taken_port_is_named_with_its_owner(platform: Running, tmp_path: object) -> None:
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


def test_killing_each_server_during_a_replay_loses_and_doubles_nothing(platform: Running) -> None:
    # Some ninety seconds of events, so that each server dies while they flow.
    replay = subprocess.Popen(
        [sys.executable, "-m", "cli", "replay", "--from=2013-02-04", "--to=2013-02-05", "--speed=2000"],
        env=platform.environment,
        cwd=ROOT,
    )
    before = _in_kafka(platform)
    wait("events in Kafka", lambda: _in_kafka(platform) > before)
    killed = []
    for name in SERVICES:
        if name == "producer":
            continue
        running = {found: process for process, found in processes.owned(platform.settings.home)}
        state = next(each for each in platform.services().status() if each.name == name)
        if state.pid and name in running:
            os.kill(state.pid, signal.SIGKILL)
            killed.append(name)
        # One at a time: the next dies when this one is back.
        wait(f"{name} back", partial(_healthy, platform, name))
    psutil.Process(replay.pid).children()[0].kill()
    assert set(killed) >= set(SERVICES) - {"producer"}
    assert replay.wait(timeout=600) == 0
    wait("all back", lambda: all(each.healthy for each in platform.services().status() if each.name != "producer"))
    _load_and_transform(platform)
    _marts_are_true(platform, "2013-02-04", "2013-02-05")
    platform.sluice("reconcile")


def test_down_and_up_lose_nothing_and_do_nothing_twice(platform: Running) -> None:
    tables = ("fct_flights", "agg_carrier_daily", "agg_airport_hourly")
    before = [platform.checksum(table) for table in tables]
    rows = platform.query("select count(*) from raw.flights_departed").iloc[0, 0]
    platform.sluice("down")
    assert processes.owned(platform.settings.home) == []
    platform.sluice("up", "--no-live")
    platform.sluice("reconcile")
    assert [platform.checksum(table) for table in tables] == before
    assert platform.query("select count(*) from raw.flights_departed").iloc[0, 0] == rows


def _healthy(platform: Running, name: str) -> bool:
    return next(each for each in platform.services().status() if each.name == name).healthy


def _in_kafka(platform: Running) -> int:
    return sum(each.end for each in kafka_ranges(platform.settings, list(load_contracts(platform.settings.contracts))))
