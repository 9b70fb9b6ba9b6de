"""Alerts on a complete platform: each thing is broken, is told once with its run, and is cleared when it is over."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra.processes import processes
from sluice.alerts.checks import MIN_RECORDS
from sluice.alerts.freshness import read_freshness
from sluice.contracts import load_contracts
from sluice.errors import TerminalError
from sluice.load import load
from sluice.orchestration.batch import airflow_client, run_dags
from sluice.orchestration.follow import Run, follow, trigger_run, wait_for_dags
from sluice.settings import ROOT
from sluice.warehouse import connect
from tests.fixtures.platform import Running
from tests.fixtures.receivers import Received, mail_server, webhook
from tests.fixtures.servers import Stream
from tests.fixtures.waiting import wait

STREAM = "weather.observed"
BROKEN_DAG = ROOT / "dags" / "broken_by_a_test.py"


@dataclass(frozen=True)
class Channels:
    plain: Received
    slack: Received
    mail: Received


@pytest.fixture(scope="module")
def channels(platform: Running) -> Iterator[Channels]:
    """Receivers of every kind, to which the platform's connections lead."""
    with webhook() as plain, webhook() as slack, mail_server() as mail:
        extra = json.dumps({"from_email": "sluice@test", "to": "a@test", "disable_ssl": True, "disable_tls": True})
        for name, options in {
            "alert_webhook": ["--conn-type", "generic", "--conn-host", f"http://127.0.0.1:{plain.port}/s3cret"],
            "alert_slack": ["--conn-type", "generic", "--conn-host", f"http://127.0.0.1:{slack.port}/s3cret"],
            "alert_email": [
                *("--conn-type", "smtp", "--conn-host", "127.0.0.1", "--conn-port", str(mail.port)),
                *("--conn-login", "u", "--conn-password", "s3cret", "--conn-extra", extra),
            ],
        }.items():
            platform.sluice("airflow", "connections", "add", name, *options)
        yield Channels(plain, slack, mail)


def test_a_transform_that_fails_repeatedly_is_told_once_on_every_channel_until_one_succeeds(
    platform: Running, channels: Channels
) -> None:
    # Fails at once: a broken model would first build all that comes before it.
    platform.sluice("sql", "--as", "postgres", "alter role sluice_transformer nologin")
    try:
        for _ in range(2):
            platform.sluice("transform", check=False)
            _monitor(platform)
    finally:
        platform.sluice("sql", "--as", "postgres", "alter role sluice_transformer login")
    with airflow_client(platform.settings) as airflow:
        runs = airflow._get("/dags/transform/dagRuns", {"state": "failed", "order_by": "end_date"})["dag_runs"]
    first, last = runs[-2]["dag_run_id"], runs[-1]["dag_run_id"]
    # Other tests may have left failed runs of other DAGs.
    assert _open(platform, "failed run")["transform"] == ("transform", last)
    platform.sluice("transform")
    _monitor(platform)
    assert "transform" not in _open(platform, "failed run")
    told = [body for body in channels.plain.bodies if (body["kind"], body["subject"]) == ("failed run", "transform")]
    assert [body["cleared"] for body in told] == [False, True]
    assert told[0]["run_id"] == first
    assert told[0]["message"] == f"run {first} failed in the tasks plan and publish"
    assert told[0]["url"].startswith(f"{platform.settings.pages.airflow}/dags/transform/runs/manual__")
    assert len([body for body in channels.slack.bodies if _is_about_transforms(body["text"])]) == 2
    subjects = [mail["Subject"] for mail in channels.mail.mails if _is_about_transforms(mail["Subject"])]
    assert [subject.split(":")[0] for subject in subjects] == ["[Sluice] alert", "[Sluice] cleared"]
    _assert_no_log_has(platform, "s3cret")


def test_a_file_that_does_not_import_is_told_until_it_is_gone(platform: Running) -> None:
    # Other platforms on this machine, which read the same folder, find nothing in it.
    home = str(platform.settings.home)
    BROKEN_DAG.write_text(f"# An Airflow DAG.\nimport os\nassert os.environ.get('SLUICE_HOME') != {home!r}\n")
    try:
        with airflow_client(platform.settings) as airflow:
            wait("an import error", lambda: airflow._get("/importErrors")["import_errors"])
        _monitor(platform)
        assert _open(platform, "import error").keys() == {f"dags/{BROKEN_DAG.name}"}
    finally:
        BROKEN_DAG.unlink()
    with airflow_client(platform.settings) as airflow:
        wait("no import error", lambda: not airflow._get("/importErrors")["import_errors"])
    _monitor(platform)
    assert _open(platform, "import error") == {}


def test_an_invalid_contract_is_told_until_it_is_valid(platform: Running) -> None:
    with _appended(platform.settings.contracts / "weather.observed.yaml", "columns: []\n"):
        _monitor(platform)
        assert _open(platform, "invalid contract").keys() == {"weather.observed.yaml"}
    _monitor(platform)
    assert _open(platform, "invalid contract") == {}


def test_a_row_that_is_gone_from_the_warehouse_is_told_until_it_is_back(platform: Running) -> None:
    platform.sluice("load")
    table = "raw.weather_observed"
    lost = f"select * from {table} order by _event_date, _partition, _offset limit 1"
    platform.sluice("sql", "--as", "postgres", f"create table ops.lost as {lost}")
    try:
        key = "(_topic_id, _partition, _offset)"
        rows = f"select {key[1:-1]} from ops.lost"
        platform.sluice("sql", "--as", "postgres", f"delete from {table} where {key} in ({rows})")
        failed = _reconcile(platform)
        assert _open(platform, "reconcile") == {"platform": (failed.dag_id, failed.run_id)}
        # The alert stands for the failed run.
        _monitor(platform)
        assert "reconcile" not in _open(platform, "failed run")
        platform.sluice("sql", "--as", "postgres", f"insert into {table} select * from ops.lost")
        _reconcile(platform)
        assert _open(platform, "reconcile") == {}
    finally:
        platform.sluice("sql", "--as", "postgres", "drop table ops.lost")


def test_a_check_that_fails_is_told_and_costs_no_other(platform: Running) -> None:
    supervisor = platform.services().supervisor
    supervisor.stop("minio")
    try:
        with _appended(platform.settings.contracts / "weather.observed.yaml", "columns: []\n"):
            _monitor(platform)
        assert _open(platform, "failed check").keys() == {"clock", "stalled sink"}
        assert _open(platform, "invalid contract").keys() == {"weather.observed.yaml"}
    finally:
        supervisor.start("minio")
    platform.wait_until_healthy()
    _monitor(platform)
    assert _open(platform, "failed check") == _open(platform, "invalid contract") == {}


def test_what_is_wrong_with_a_stream_or_a_clock_is_told_until_it_is_over(platform: Running) -> None:
    """A sink that makes no progress, invalid records, a load that is paused, and a clock: all told by the same run.

    A full disk is not among them: it would be full for everything on this machine.
    """
    settings = platform.settings
    contract = load_contracts(settings.contracts)[STREAM]
    stream = Stream(settings, contract, platform.file)
    told = {
        "stalled sink": {STREAM},
        "quarantine": {STREAM},
        "overdue load": {STREAM},
        "clock": {"Postgres"},
    }
    file = settings.contracts / f"{STREAM}.yaml"
    _pass_an_hour(platform)
    stream.send([b"{}"] * MIN_RECORDS)
    wait("the sink to write them", lambda: not read_freshness(settings, contract).lag)
    load(settings, contract)
    original = file.read_text()
    with _paused(platform, contract.dag_id), _stopped_sink(platform), _wrong_clock(platform):
        file.write_text(original.replace("load:\n", "load:\n  overdue: 0m\n"))
        try:
            stream.send([b"{}"])
            _monitor_until(platform, told)
        finally:
            file.write_text(original)
    wait("the sink to catch up", lambda: not read_freshness(settings, contract).lag)
    load(settings, contract)
    _pass_an_hour(platform)
    _monitor_until(platform, {kind: set() for kind in told})


@contextmanager
def _paused(platform: Running, dag_id: str) -> Iterator[None]:
    with airflow_client(platform.settings) as airflow:
        airflow._request("PATCH", f"/dags/{dag_id}", json={"is_paused": True})
        try:
            yield
        finally:
            airflow._request("PATCH", f"/dags/{dag_id}", json={"is_paused": False})


@contextmanager
def _stopped_sink(platform: Running) -> Iterator[None]:
    """Lets the sink make no progress, with its connections open, as on a machine that has no time for it."""
    sinks = [process for process, service in processes.owned(platform.settings.home) if service == "sink"]
    for sink in sinks:
        sink.suspend()
    try:
        yield
    finally:
        for sink in sinks:
            sink.resume()


@contextmanager
def _wrong_clock(platform: Running) -> Iterator[None]:
    """Sets the clock that Postgres shows to its reader an hour ahead."""
    name = "ops.clock_timestamp()"
    role = f"alter role sluice_reader in database {platform.settings.warehouse}"
    later = "select pg_catalog.clock_timestamp() + interval '1 hour'"
    with connect(platform.settings, "postgres") as postgres:
        postgres.autocommit = True
        postgres.execute(f"create function {name} returns timestamptz language sql as $$ {later} $$".encode())
        try:
            postgres.execute(f"{role} set search_path = ops, pg_catalog".encode())
            yield
        finally:
            postgres.execute(f"{role} reset search_path".encode())
            postgres.execute(f"drop function {name}".encode())


def _pass_an_hour(platform: Running) -> None:
    """Moves the stream's loads an hour back: what they have loaded does not count for a share any more."""
    with connect(platform.settings, "postgres") as postgres:
        postgres.execute("update ops.loads set loaded_at = loaded_at - interval '1 hour' where stream = %s", (STREAM,))


def _is_about_transforms(text: str) -> bool:
    return "failed run" in text and "transform" in text


def _monitor(platform: Running) -> None:
    with airflow_client(platform.settings) as airflow:
        wait_for_dags(airflow, ["monitor"])
        run_dags(airflow, ["monitor"], print)


def _monitor_until(platform: Running, expected: dict[str, set[str]]) -> None:
    """Repeats the checks until these subjects have alerts of their kinds, each raised by a run of monitor.

    Loads, the sink and Airflow's own runs go on meanwhile: a run may see a moment before the test's change.
    """

    def subjects() -> dict[str, set[str]]:
        return {kind: set(_open(platform, kind)) for kind in expected}

    def are_told() -> bool:
        _monitor(platform)
        return subjects() == expected

    wait("the alerts", are_told, seconds=400, detail=subjects)
    assert {dag_id for kind in expected for dag_id, _ in _open(platform, kind).values()} <= {"monitor"}


def _reconcile(platform: Running) -> Run:
    """Compares every record, not only the new ones, and returns the run, however it ended."""
    with airflow_client(platform.settings) as airflow:
        wait_for_dags(airflow, ["reconcile"])
        run = trigger_run(airflow, "reconcile", {"full": True})
        with suppress(TerminalError):
            follow(airflow, [run], print)
    return run


def _open(platform: Running, kind: str) -> dict[str, tuple[str, str]]:
    """Returns the DAG and the run of each open alert, by subject."""
    query = f"select subject, dag_id, run_id from ops.alerts where kind = '{kind}' and cleared_at is null"
    return {row.subject: (row.dag_id, row.run_id) for row in platform.query(query).itertuples()}


@contextmanager
def _appended(file: Path, text: str) -> Iterator[None]:
    """Appends a text to a file, and restores the file at the end."""
    original = file.read_text()
    file.write_text(original + text)
    try:
        yield
    finally:
        file.write_text(original)


def _assert_no_log_has(platform: Running, secret: str) -> None:
    logs = [path for path in platform.settings.home.rglob("*.log") if path.is_file()]
    assert logs
    assert not [path for path in logs if secret in path.read_text(errors="replace")]
