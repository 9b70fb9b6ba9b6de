"""Backfills on a whole platform: they prove what they did, go on where they were stopped, and retry what can pass."""

import io
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import date

import pytest
import yaml

from sluice.contracts import load_contracts
from sluice.lake import bucket
from sluice.lake.layout import table_uri
from sluice.orchestration import follow
from sluice.orchestration.rest import Airflow, Json
from sluice.settings import ROOT
from sluice.warehouse import checksum, connect, schema
from sluice.warehouse.checksum import Checksum
from tests.e2e import truth
from tests.e2e.conftest import Running
from tests.waiting import wait

TABLES = ("fct_flights", "agg_carrier_daily", "agg_airport_hourly")


@pytest.fixture
def airflow(platform: Running) -> Iterator[Airflow]:
    found = Airflow(platform.settings)
    yield found
    found.close()


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
        # Where the tests run in the background, the shell has told them to ignore Ctrl-C, and so their children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def attempts(airflow: Airflow, first: str, last: str) -> dict[str, tuple[str, int]]:
    """State and number of attempts of each date's task."""
    days = (date.fromisoformat(first), date.fromisoformat(last))
    found: dict[str, tuple[str, int]] = {}
    for run in airflow.backfill_runs("rebuild", *days):
        task: Json = airflow.tasks("rebuild", run["dag_run_id"])[0]
        found[run["logical_date"][:10]] = (task["state"], task["try_number"])
    return found


def tries(airflow: Airflow, first: str, last: str) -> int:
    """How often dates were tried so far: a backfill of a date that has run before goes on counting."""
    return sum(number for _, number in attempts(airflow, first, last).values())


def marts(platform: Running) -> list[tuple[object, ...]]:
    return [platform.checksum(table) for table in TABLES]


def raw(platform: Running) -> dict[str, dict[date, Checksum]]:
    contracts = load_contracts(platform.settings.contracts)
    with connect(platform.settings, "reader") as reader:
        return {stream: checksum.raw(reader, each, date.min, date.max) for stream, each in contracts.items()}


def as_postgres(platform: Running, statement: str) -> None:
    with connect(platform.settings, "postgres") as postgres:
        postgres.execute(statement.encode())


def test_a_dry_run_changes_nothing(platform: Running, airflow: Airflow) -> None:
    before = marts(platform), airflow.open_backfill("rebuild")
    said = backfill(platform, "2013-01-10", "2013-01-11", "--dry-run")
    assert re.search(r"2013-01-10 +[\d,]+ +0\n2013-01-11 ", said)
    assert (marts(platform), airflow.open_backfill("rebuild")) == before


def test_dates_made_again_are_as_they_were_and_that_is_proved(platform: Running, airflow: Airflow) -> None:
    before = marts(platform)
    said = backfill(platform, "2013-01-10", "2013-01-12")
    assert "nothing changed on these dates: the checksums of" in said
    assert "reconcile: lake and warehouse agree" in said
    assert said.count("as before") == 3
    assert marts(platform) == before
    assert set(attempts(airflow, "2013-01-10", "2013-01-12").values()) == {("success", 1)}


def test_marts_alone_are_built_again_from_raw(platform: Running) -> None:
    before = marts(platform)
    with connect(platform.settings, "transformer") as transformer:
        transformer.execute("update marts.agg_carrier_daily set flights = 0 where flight_date = '2013-01-16'")
    assert marts(platform) != before
    said = backfill(platform, "2013-01-16", "2013-01-16", "--what", "marts")
    assert "agg_carrier_daily other values: raw is as before" in said
    assert marts(platform) == before


def test_a_changed_contract_ends_where_a_rebuild_from_nothing_does_and_back(platform: Running) -> None:
    path = platform.settings.contracts / "flights.departed.yaml"
    text = path.read_text()
    limit = 850
    flights = truth.between("2013-01-01", "2013-01-31")
    late = flights[flights["departure_delay_minutes"] > limit]
    days = sorted(late["departed_at"].dt.strftime("%Y-%m-%d"))
    before = marts(platform)
    contract = yaml.safe_load(text)
    next(each for each in contract["columns"] if each["name"] == "departure_delay_minutes")["maximum"] = limit
    try:
        path.write_text(yaml.safe_dump(contract, sort_keys=False))
        said = backfill(platform, days[0], days[-1], "--stream", "flights.departed", "--what", "raw")
        assert f"raw {-len(late):+,} rows, quarantine {len(late):+,}" in said
        assert marts(platform) != before
        rebuilt = platform.sluice("rebuild-warehouse", "--force")
        assert rebuilt.returncode == 0
        platform.sluice("reconcile")
    finally:
        path.write_text(text)
    said = backfill(platform, days[0], days[-1], "--stream", "flights.departed")
    assert f"raw {len(late):+,} rows, quarantine {-len(late):+,}" in said
    assert "left the quarantine: they fit their contract now" in said
    assert marts(platform) == before


def test_a_changed_model_ends_where_a_rebuild_from_nothing_does_and_back(platform: Running) -> None:
    path = platform.settings.dbt / "models" / "marts" / "agg_carrier_daily.sql"
    text = path.read_text()
    rule = "arrival_delay_minutes <= 15)"
    assert rule in text
    first, last = platform.query("select min(event_date)::text, max(event_date)::text from ops.dates").iloc[0]
    before = marts(platform)
    try:
        path.write_text(text.replace(rule, "arrival_delay_minutes <= 0)"))
        said = backfill(platform, first, last, "--what", "marts")
        # It names the one table that is not as before, and why.
        told = [line for line in said.splitlines() if "other values" in line]
        assert told
        assert all(
            re.search(r" agg_carrier_daily other values: raw is as before: a model changed", line) for line in told
        )
        changed = marts(platform)
        assert [here == there for here, there in zip(changed, before, strict=True)] == [True, False, True]
        rebuilt = platform.sluice("rebuild-warehouse", "--force").stdout
        assert "the marts are what they were" in rebuilt
        assert marts(platform) == changed
    finally:
        path.write_text(text)
    backfill(platform, first, last, "--what", "marts")
    assert marts(platform) == before


def test_a_new_column_of_a_contract_is_null_until_its_dates_are_made_again(platform: Running) -> None:
    contracts = load_contracts(platform.settings.contracts)
    filled = "select event_date::text from (select _event_date as event_date, count(wind_gust_mph) as n"
    filled += " from raw.weather_observed group by 1) as dates where n > 0 order by 1"
    dates = list(platform.query(filled)["event_date"])
    before = marts(platform), raw(platform)
    # As if its contract had not named it until now.
    as_postgres(platform, "alter table raw.weather_observed drop column wind_gust_mph")
    schema.provision(platform.settings, contracts)
    assert not len(platform.query(filled))
    said = backfill(platform, "2013-01-10", "2013-01-12", "--stream", "weather.observed")
    assert "the same events are read otherwise: a contract or the reading changed" in said
    assert set(platform.query(filled)["event_date"]) == {"2013-01-10", "2013-01-11", "2013-01-12"} & set(dates)
    backfill(platform, dates[0], dates[-1], "--stream", "weather.observed")
    assert (marts(platform), raw(platform)) == before


def test_a_backfill_that_is_stopped_goes_on_with_what_is_left(platform: Running, airflow: Airflow) -> None:
    arguments = ("2013-01-01", "2013-01-31")
    before = attempts(airflow, *arguments)
    process = start(platform, "backfill", "--from", arguments[0], "--to", arguments[1])
    wait("two dates made", lambda: _ended(airflow, *arguments) >= 2 and airflow.open_backfill("rebuild") is not None)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 130, said
    left = int(re.search(r"paused; (\d+) of 31 dates are left to the same command", said)[1])  # type: ignore[index]
    assert 0 < left < 31
    paused = airflow.open_backfill("rebuild")
    assert paused is not None
    assert paused["is_paused"]
    said = backfill(platform, *arguments)
    done = int(re.search(r"(\d+) of these dates are done already", said)[1])  # type: ignore[index]
    assert done >= 31 - left
    assert "nothing changed" in said
    after = attempts(airflow, *arguments)
    # No date was made twice.
    assert all(after[day] == ("success", before.get(day, ("", 0))[1] + 1) for day in after), (before, after)


def _ended(airflow: Airflow, first: str, last: str) -> int:
    runs = list(airflow.backfill_runs("rebuild", date.fromisoformat(first), date.fromisoformat(last)))
    return sum(run["state"] == "success" for run in runs) if any(run["state"] == "queued" for run in runs) else 0


def test_one_started_elsewhere_is_named_and_wakes_the_transform_itself(platform: Running, airflow: Airflow) -> None:
    first, last = date(2013, 1, 20), date(2013, 1, 24)
    conf = {"streams": ["flights.departed"], "what": "all"}
    # Airflow closes one some time after its last run.
    wait("the last backfill's end", lambda: airflow.open_backfill("rebuild") is None)
    number = airflow.backfill("rebuild", first, last, conf, 2)["id"]
    assert f"Airflow is at backfill {number} of rebuild" in backfill(platform, "2013-01-01", "2013-01-02", check=False)
    runs = airflow.backfill_runs
    wait("its dates' end", lambda: all(run["state"] == "success" for run in runs("rebuild", first, last)))
    pending = "select count(*) from ops.touched_dates where built_at is null"
    wait("the transform", lambda: platform.query(pending).iloc[0, 0] == 0)
    said = backfill(platform, "2013-01-01", "2013-01-02")
    assert "nothing changed" in said


def test_loads_go_on_during_a_backfill(platform: Running) -> None:
    before = marts(platform)
    process = start(platform, "backfill", "--from", "2013-01-01", "--to", "2013-01-08")
    platform.sluice("replay", "--from", "2013-01-05", "--to", "2013-01-05", "--streams", "flights.cancelled")
    platform.sluice("load")
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert "reconcile: lake and warehouse agree" in said
    platform.sluice("transform")
    platform.sluice("reconcile")
    # Every event was there already: it is in raw twice, in the marts once.
    assert marts(platform) == before


def test_a_store_that_is_down_for_a_while_costs_one_more_attempt(platform: Running, airflow: Airflow) -> None:
    supervisor = platform.services().supervisor
    days = ("2013-01-17", "2013-01-17")
    before = tries(airflow, *days)
    process = start(platform, "backfill", "--from", days[0], "--to", days[1], "--stream", "flights.cancelled")
    # The plan does not need the lake, the run does.
    supervisor.stop("minio")
    try:
        wait("an attempt to fail", lambda: attempts(airflow, *days).get(days[0], ("", 0))[0] == "up_for_retry")
    finally:
        supervisor.start("minio")
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert attempts(airflow, *days) == {days[0]: ("success", before + 2)}


def test_a_revoked_permission_fails_at_once_and_the_same_command_does_it_later(
    platform: Running, airflow: Airflow
) -> None:
    days = ("2013-01-18", "2013-01-18")
    before = tries(airflow, *days)
    as_postgres(platform, "revoke insert on raw.flights_cancelled from sluice_loader")
    try:
        said = backfill(platform, *days, "--stream", "flights.cancelled", check=False)
    finally:
        as_postgres(platform, "grant insert on raw.flights_cancelled to sluice_loader")
    assert "permission denied" in said.splitlines()[-1]
    assert attempts(airflow, *days) == {days[0]: ("failed", before + 1)}
    assert "nothing changed" in backfill(platform, *days, "--stream", "flights.cancelled")
    assert attempts(airflow, *days) == {days[0]: ("success", before + 2)}


def test_a_damaged_file_fails_its_date_at_once_and_no_other(platform: Running, airflow: Airflow) -> None:
    days = ("2013-01-25", "2013-01-27")
    before = tries(airflow, "2013-01-26", "2013-01-26")
    settings = platform.settings
    client = bucket.client(settings, "root")
    prefix = f"{table_uri(settings, 'flights.cancelled').split('/', 3)[3]}/event_date=2013-01-26/"
    names = [
        each.object_name
        for each in client.list_objects(bucket_name=settings.lake_bucket, prefix=prefix, recursive=True)
    ]
    kept = {name: client.get_object(bucket_name=settings.lake_bucket, object_name=name).read() for name in names}
    assert kept
    _put(client, settings.lake_bucket, {name: b"\0" * len(data) for name, data in kept.items()})
    try:
        said = backfill(platform, *days, "--stream", "flights.cancelled", check=False)
    finally:
        _put(client, settings.lake_bucket, kept)
    assert "1 of 3 dates were not rebuilt (2013-01-26)" in said.splitlines()[-1]
    assert {day: state for day, (state, _) in attempts(airflow, *days).items()} == {
        "2013-01-25": "success",
        "2013-01-26": "failed",
        "2013-01-27": "success",
    }
    assert attempts(airflow, *days)["2013-01-26"] == ("failed", before + 1)
    assert "2 of these dates are done already" in backfill(platform, *days, "--stream", "flights.cancelled")


def test_a_cleared_date_runs_again_alone(platform: Running, airflow: Airflow) -> None:
    days = ("2013-01-25", "2013-01-27")
    before = attempts(airflow, *days)
    run = next(iter(airflow.backfill_runs("rebuild", date(2013, 1, 26), date(2013, 1, 26))))
    body = {"dry_run": False, "dag_run_id": run["dag_run_id"], "task_ids": ["reload"], "only_failed": False}
    airflow._post("/dags/rebuild/clearTaskInstances", body)
    again = ("success", before["2013-01-26"][1] + 1)
    wait("its next attempt", lambda: attempts(airflow, *days)["2013-01-26"] == again)
    after = attempts(airflow, *days)
    assert {day for day in after if after[day] != before[day]} == {"2013-01-26"}


def test_runs_that_are_cleared_out_of_order_again_and_again_change_nothing(platform: Running, airflow: Airflow) -> None:
    first, last = date(2013, 1, 13), date(2013, 1, 15)
    backfill(platform, str(first), str(last))
    dates = [("rebuild", run["dag_run_id"]) for run in airflow.backfill_runs("rebuild", first, last)]
    assert len(dates) == 3
    loads = [start_run(airflow, "load_flights_departed") for _ in range(2)]
    before = marts(platform), raw(platform)
    for order in ((2, 0, 1), (1, 2, 0), (0, 2, 1)):
        for dag_id, run_id in (*(dates[place] for place in order), *reversed(loads)):
            _clear(airflow, dag_id, run_id)
    platform.sluice("transform")
    assert (marts(platform), raw(platform)) == before
    platform.sluice("reconcile")


def start_run(airflow: Airflow, dag_id: str) -> tuple[str, str]:
    """A run that was asked for, and has ended well."""
    run = follow.start(airflow, dag_id)
    wait("the run's end", lambda: airflow.run(dag_id, run.run_id)["state"] == "success")
    return dag_id, run.run_id


def _clear(airflow: Airflow, dag_id: str, run_id: str) -> None:
    """Clears a whole run, as the button in the UI does, and waits until it has ended well again."""
    before = [task["try_number"] for task in airflow.tasks(dag_id, run_id)]
    airflow._post(f"/dags/{dag_id}/dagRuns/{run_id}/clear", {"dry_run": False, "only_failed": False})
    wait("its end again", lambda: airflow.run(dag_id, run_id)["state"] == "success")
    after = [task["try_number"] for task in airflow.tasks(dag_id, run_id)]
    assert after == [number + 1 for number in before]


def _put(client: object, name: str, objects: dict[str, bytes]) -> None:
    for key, data in objects.items():
        client.put_object(bucket_name=name, object_name=key, data=io.BytesIO(data), length=len(data))  # type: ignore[attr-defined]
