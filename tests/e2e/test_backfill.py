"""Backfills on a complete platform: verified results, resuming after an interruption, and retried transient errors."""

import io
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta

import pytest
import yaml

from sluice.contracts import load_contracts
from sluice.lake import bucket
from sluice.lake.layout import table_uri
from sluice.orchestration import follow
from sluice.orchestration.rest import Airflow, Json
from sluice.settings import ROOT
from sluice.warehouse import checksum, connect
from sluice.warehouse.checksum import Checksum
from tests.fixtures import truth
from tests.fixtures.held_date import held_date
from tests.fixtures.platform import Running
from tests.fixtures.waiting import wait

TABLES = ("fct_flights", "agg_carrier_daily", "agg_airport_hourly")


@pytest.fixture
def airflow(platform: Running) -> Iterator[Airflow]:
    client = Airflow(platform.settings)
    yield client
    client.close()


def backfill(platform: Running, first: str, last: str, *options: str, check: bool = True) -> str:
    done = platform.sluice("backfill", "--from", first, "--to", last, *options, check=check)
    assert (done.returncode == 0) == check
    assert len(done.stderr.strip().splitlines()) == (0 if check else 1)
    return done.stdout + done.stderr


def start(platform: Running, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "cli", *arguments],
        env=platform.environment,
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        # If the tests run in the background, the shell makes them, and so their children, ignore SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def attempts(airflow: Airflow, first: str, last: str) -> dict[str, tuple[str, int]]:
    """Returns state and number of attempts of each date's task."""
    days = (date.fromisoformat(first), date.fromisoformat(last))
    by_date: dict[str, tuple[str, int]] = {}
    for run in airflow.backfill_runs("reprocess", *days):
        task: Json = airflow.tasks("reprocess", run["dag_run_id"])[0]
        by_date[run["logical_date"][:10]] = (task["state"], task["try_number"])
    return by_date


def total_attempts(airflow: Airflow, first: str, last: str) -> int:
    """Returns the attempts of all dates so far: Airflow keeps counting when a date is run again."""
    return sum(number for _, number in attempts(airflow, first, last).values())


def marts(platform: Running) -> list[tuple[object, ...]]:
    return [platform.checksum(table) for table in TABLES]


def raw(platform: Running) -> dict[str, dict[date, Checksum]]:
    contracts = load_contracts(platform.settings.contracts)
    with connect(platform.settings, "reader") as reader:
        return {stream: checksum.raw(reader, contract, date.min, date.max) for stream, contract in contracts.items()}


def as_postgres(platform: Running, statement: str) -> None:
    with connect(platform.settings, "postgres") as postgres:
        postgres.execute(statement.encode())


def test_a_dry_run_changes_nothing(platform: Running, airflow: Airflow) -> None:
    before = marts(platform), airflow.open_backfill("reprocess")
    output = backfill(platform, "2013-01-10", "2013-01-11", "--dry-run")
    assert re.search(r"2013-01-10 +[\d,]+ +0\n2013-01-11 ", output)
    assert (marts(platform), airflow.open_backfill("reprocess")) == before


def test_the_scope_marts_rebuilds_only_the_marts(platform: Running) -> None:
    before = marts(platform)
    with connect(platform.settings, "transformer") as transformer:
        transformer.execute("update marts.agg_carrier_daily set flights = 0 where flight_date = '2013-01-16'")
    assert marts(platform) != before
    output = backfill(platform, "2013-01-16", "2013-01-16", "--what", "marts")
    assert "agg_carrier_daily values changed: raw is unchanged" in output
    assert marts(platform) == before


def test_a_changed_contract_gives_the_same_marts_as_a_rebuild_and_can_be_reverted(platform: Running) -> None:
    path = platform.settings.contracts / "flights.departed.yaml"
    text = path.read_text()
    limit = 850
    flights = truth.between("2013-01-01", "2013-01-31")
    invalid = flights[flights["departure_delay_minutes"] > limit]
    days = sorted(invalid["departed_at"].dt.strftime("%Y-%m-%d"))
    before = marts(platform)
    contract = yaml.safe_load(text)
    next(column for column in contract["columns"] if column["name"] == "departure_delay_minutes")["maximum"] = limit
    try:
        path.write_text(yaml.safe_dump(contract, sort_keys=False))
        output = backfill(platform, days[0], days[-1], "--stream", "flights.departed", "--what", "raw")
        assert f"raw {-len(invalid):+,} rows, quarantine {len(invalid):+,}" in output
        assert marts(platform) != before
        rebuilt = platform.sluice("rebuild-warehouse", "--force")
        assert rebuilt.returncode == 0
        platform.sluice("reconcile", "--wait")
    finally:
        path.write_text(text)
    output = backfill(platform, days[0], days[-1], "--stream", "flights.departed")
    assert f"raw {len(invalid):+,} rows, quarantine {-len(invalid):+,}" in output
    assert "left quarantine: they are valid now" in output
    assert marts(platform) == before


def test_a_changed_model_holds_for_the_dates_of_a_backfill_and_can_be_reverted(platform: Running) -> None:
    path = platform.settings.dbt / "models" / "marts" / "agg_carrier_daily.sql"
    text = path.read_text()
    rule = "arrival_delay_minutes <= 15)"
    assert rule in text
    days, untouched = ("2013-01-10", "2013-01-12"), "2013-01-20"
    before = marts(platform)
    try:
        path.write_text(text.replace(rule, "arrival_delay_minutes <= 0)"))
        output = backfill(platform, *days, "--what", "marts")
        # The proof names the one table that changed, and why.
        lines = [line for line in output.splitlines() if "values changed" in line]
        assert lines
        assert all(
            re.search(r" agg_carrier_daily values changed: raw is unchanged: a model changed", line) for line in lines
        )
        assert [now == original for now, original in zip(marts(platform), before, strict=True)] == [True, False, True]
        for day, limit in {days[0]: 0, days[1]: 0, untouched: 15}.items():
            on_time = f"select sum(on_time_share * arrived) from marts.agg_carrier_daily where flight_date = '{day}'"
            delays = truth.between(day, day)["arrival_delay_minutes"]
            assert round(platform.query(on_time).iloc[0, 0]) == (delays <= limit).sum()
    finally:
        path.write_text(text)
    backfill(platform, *days, "--what", "marts")
    assert marts(platform) == before


def test_an_interrupted_backfill_resumes_with_the_remaining_dates(platform: Running, airflow: Airflow) -> None:
    arguments = ("2013-01-01", "2013-01-10")
    before = attempts(airflow, *arguments)
    # The last date cannot end before the interruption.
    with held_date(platform.settings, "flights.arrived", arguments[1]):
        started = datetime.now(UTC)
        process = start(platform, "backfill", "--from", arguments[0], "--to", arguments[1])
        wait("two dates to end", lambda: _ended(airflow, started, *arguments) >= 2)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=120)
    assert process.returncode == 130, output
    remaining = int(re.search(r"paused; (\d+) of 10 dates remain", output)[1])  # type: ignore[index]
    assert 0 < remaining < 10
    paused = airflow.open_backfill("reprocess")
    assert paused is not None
    assert paused["is_paused"]
    output = backfill(platform, *arguments)
    done = int(re.search(r"(\d+) of these dates are already done", output)[1])  # type: ignore[index]
    assert done >= 10 - remaining
    assert "nothing changed" in output
    after = attempts(airflow, *arguments)
    # No date was reprocessed twice.
    assert all(after[day] == ("success", before.get(day, ("", 0))[1] + 1) for day in after), (before, after)


def _ended(airflow: Airflow, since: datetime, first: str, last: str) -> int:
    """Returns how many dates have ended since; those that an earlier backfill has ended do not count."""
    runs = airflow.backfill_runs("reprocess", date.fromisoformat(first), date.fromisoformat(last))
    return sum(run["state"] == "success" and datetime.fromisoformat(run["end_date"]) > since for run in runs)


def test_a_backfill_started_elsewhere_is_named_and_triggers_the_transform(platform: Running, airflow: Airflow) -> None:
    first, last = date(2013, 1, 20), date(2013, 1, 24)
    conf = {"streams": ["flights.departed"], "what": "all"}
    # Airflow closes a backfill some time after its last run.
    wait("the last backfill to be closed", lambda: airflow.open_backfill("reprocess") is None)
    number = airflow.backfill("reprocess", first, last, conf, 2)["id"]
    refused = backfill(platform, "2013-01-01", "2013-01-02", check=False)
    assert f"backfill {number} of {first} to {last}, started elsewhere, is active: " in refused
    runs = airflow.backfill_runs
    wait("its dates to end", lambda: all(run["state"] == "success" for run in runs("reprocess", first, last)))
    pending = "select count(*) from ops.stale_dates where built_at is null"
    wait("the transform", lambda: platform.query(pending).iloc[0, 0] == 0)
    output = backfill(platform, "2013-01-01", "2013-01-02")
    assert "nothing changed" in output


def test_loads_continue_during_a_backfill(platform: Running) -> None:
    before = marts(platform)
    process = start(platform, "backfill", "--from", "2013-01-01", "--to", "2013-01-08")
    platform.sluice("replay", "--from", "2013-01-05", "--to", "2013-01-05", "--streams", "flights.cancelled")
    platform.sluice("load")
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert "reconcile: lake and warehouse agree" in output
    platform.sluice("transform")
    platform.sluice("reconcile", "--wait")
    # Every event had been sent before: it is in raw twice, in the marts once.
    assert marts(platform) == before


def test_a_temporary_outage_of_the_store_costs_one_attempt(platform: Running, airflow: Airflow) -> None:
    supervisor = platform.services().supervisor
    days = ("2013-01-17", "2013-01-17")
    # A run that was cleared often waits minutes before its next attempt, so this test starts a new run.
    for run in airflow.backfill_runs("reprocess", *map(date.fromisoformat, days)):
        assert airflow._send("DELETE", f"/api/v2/dags/reprocess/dagRuns/{run['dag_run_id']}").is_success
    try:
        with held_date(platform.settings, "flights.cancelled", days[0]) as held:
            process = start(platform, "backfill", "--from", days[0], "--to", days[1], "--stream", "flights.cancelled")
            # From the lock on, the reload reads the lake.
            held.wait_for_reload()
            supervisor.stop("minio")
        wait("an attempt to fail", lambda: attempts(airflow, *days).get(days[0], ("", 0))[0] == "up_for_retry")
    finally:
        supervisor.start("minio")
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert attempts(airflow, *days) == {days[0]: ("success", 2)}


def test_a_revoked_permission_fails_at_once_and_the_same_command_succeeds_later(
    platform: Running, airflow: Airflow
) -> None:
    days = ("2013-01-18", "2013-01-18")
    before = total_attempts(airflow, *days)
    as_postgres(platform, "revoke insert on raw.flights_cancelled from sluice_loader")
    try:
        output = backfill(platform, *days, "--stream", "flights.cancelled", check=False)
    finally:
        as_postgres(platform, "grant insert on raw.flights_cancelled to sluice_loader")
    assert "permission denied" in output.splitlines()[-1]
    assert attempts(airflow, *days) == {days[0]: ("failed", before + 1)}
    assert "nothing changed" in backfill(platform, *days, "--stream", "flights.cancelled")
    assert attempts(airflow, *days) == {days[0]: ("success", before + 2)}


def test_a_damaged_file_fails_only_its_date_and_at_once(platform: Running, airflow: Airflow) -> None:
    days = ("2013-01-25", "2013-01-27")
    before = total_attempts(airflow, "2013-01-26", "2013-01-26")
    settings = platform.settings
    client = bucket.client(settings, "root")
    prefix = f"{table_uri(settings, 'flights.cancelled').split('/', 3)[3]}/event_date=2013-01-26/"
    names = [
        item.object_name
        for item in client.list_objects(bucket_name=settings.lake_bucket, prefix=prefix, recursive=True)
    ]
    originals = {name: client.get_object(bucket_name=settings.lake_bucket, object_name=name).read() for name in names}
    assert originals
    _put(client, settings.lake_bucket, {name: b"\0" * len(data) for name, data in originals.items()})
    try:
        output = backfill(platform, *days, "--stream", "flights.cancelled", check=False)
    finally:
        _put(client, settings.lake_bucket, originals)
    assert "1 of 3 dates failed (2013-01-26)" in output.splitlines()[-1]
    assert {day: state for day, (state, _) in attempts(airflow, *days).items()} == {
        "2013-01-25": "success",
        "2013-01-26": "failed",
        "2013-01-27": "success",
    }
    assert attempts(airflow, *days)["2013-01-26"] == ("failed", before + 1)
    assert "2 of these dates are already done" in backfill(platform, *days, "--stream", "flights.cancelled")


def test_a_cleared_date_runs_again_alone(platform: Running, airflow: Airflow) -> None:
    days = ("2013-01-25", "2013-01-27")
    backfill(platform, *days, "--stream", "flights.cancelled")
    before = attempts(airflow, *days)
    run = next(iter(airflow.backfill_runs("reprocess", date(2013, 1, 26), date(2013, 1, 26))))
    body = {"dry_run": False, "dag_run_id": run["dag_run_id"], "task_ids": ["reload"], "only_failed": False}
    airflow._post("/dags/reprocess/clearTaskInstances", body)
    expected = ("success", before["2013-01-26"][1] + 1)
    wait("its next attempt", lambda: attempts(airflow, *days)["2013-01-26"] == expected)
    after = attempts(airflow, *days)
    assert {day for day in after if after[day] != before[day]} == {"2013-01-26"}


def test_clearing_runs_repeatedly_and_out_of_order_changes_nothing(platform: Running, airflow: Airflow) -> None:
    first, last = date(2013, 1, 13), date(2013, 1, 15)
    backfill(platform, str(first), str(last))
    dates = [("reprocess", run["dag_run_id"]) for run in airflow.backfill_runs("reprocess", first, last)]
    assert len(dates) == 3
    loads = [start_run(airflow, "load_flights_departed") for _ in range(2)]
    before = marts(platform), raw(platform)
    for order in ((2, 0, 1), (1, 2, 0)):
        for dag_id, run_id in (*(dates[index] for index in order), *reversed(loads)):
            _clear(airflow, dag_id, run_id)
    platform.sluice("transform")
    assert (marts(platform), raw(platform)) == before
    platform.sluice("reconcile", "--wait")


def test_an_interrupted_backfill_is_replaced_or_cancelled_and_airflow_closes_it(
    platform: Running, airflow: Airflow
) -> None:
    before = marts(platform)
    _, first = interrupt(platform, airflow, "2013-01-01", "2013-01-05")
    # Airflow accepts the second only once it has closed the first.
    output, second = interrupt(platform, airflow, "2013-01-11", "2013-01-15", "--force")
    assert f"backfill {first} of 2013-01-01 to 2013-01-05 is cancelled: 2 of 5 dates are dropped" in output
    assert second != first
    cancelled = platform.sluice("backfill", "--cancel").stdout
    assert f"backfill {second} of 2013-01-11 to 2013-01-15 is cancelled: 2 of 5 dates are dropped" in cancelled
    wait("Airflow to close it", lambda: airflow.open_backfill("reprocess") is None)
    for month_day in ("01-01", "01-11"):
        start_date = date.fromisoformat(f"2013-{month_day}")
        runs = [*airflow.backfill_runs("reprocess", start_date, start_date + timedelta(days=4))]
        assert [run["state"] for run in runs] == ["success"] * 3
    assert "nothing to cancel" in platform.sluice("backfill", "--cancel").stdout
    assert marts(platform) == before


def interrupt(platform: Running, airflow: Airflow, first: str, last: str, *options: str) -> tuple[str, int]:
    """Starts a backfill and interrupts it while its first three dates run; returns its output and its number."""
    days = [date.fromisoformat(first) + timedelta(days=step) for step in range(3)]
    with ExitStack() as held:
        for day in days:
            held.enter_context(held_date(platform.settings, "flights.cancelled", day.isoformat()))
        process = start(platform, "backfill", "--from", first, "--to", last, "--stream", "flights.cancelled", *options)
        wait(
            "three dates to run",
            lambda: airflow.count_backfill_runs("reprocess", days[0], days[-1], ["running"]) == 3,
            detail=lambda: process.poll() is not None and process.communicate()[0],
        )
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=120)
    assert process.returncode == 130, output
    backfill = airflow.open_backfill("reprocess")
    assert backfill is not None
    return output, backfill["id"]


def start_run(airflow: Airflow, dag_id: str) -> tuple[str, str]:
    """Triggers a run and returns it after it has succeeded."""
    run = follow.trigger_run(airflow, dag_id)
    wait("the run to succeed", lambda: airflow.run(dag_id, run.run_id)["state"] == "success")
    return dag_id, run.run_id


def _clear(airflow: Airflow, dag_id: str, run_id: str) -> None:
    """Clears a run, as the button in the UI does, and waits until it has succeeded again."""
    before = [task["try_number"] for task in airflow.tasks(dag_id, run_id)]
    airflow._post(f"/dags/{dag_id}/dagRuns/{run_id}/clear", {"dry_run": False, "only_failed": False})
    wait("the run to succeed again", lambda: airflow.run(dag_id, run_id)["state"] == "success")
    after = [task["try_number"] for task in airflow.tasks(dag_id, run_id)]
    assert after == [number + 1 for number in before]


def _put(client: object, name: str, objects: dict[str, bytes]) -> None:
    for key, data in objects.items():
        client.put_object(bucket_name=name, object_name=key, data=io.BytesIO(data), length=len(data))  # type: ignore[attr-defined]
