"""Alerts on a whole platform: raised while something stands still, and cleared when it goes on."""

from cli.batch import airflow_client, run_dags
from tests.e2e.conftest import Running
from tests.waiting import wait


def test_a_sink_that_stands_still_is_an_alert_until_it_goes_on(platform: Running) -> None:
    supervisor = platform.services().supervisor
    supervisor.stop("sink")
    try:
        platform.sluice("replay", "--from", "2013-01-06", "--to", "2013-01-06", "--streams", "flights.cancelled")
        _watch(platform)
        assert _open(platform, "stalled sink") == ["flights.cancelled"]
    finally:
        supervisor.start("sink")
    # It first waits until the sink has brought what Kafka holds.
    platform.sluice("load")
    _watch(platform)
    assert _open(platform, "stalled sink") == []


def test_a_load_that_does_not_end_is_an_alert_until_one_does(platform: Running) -> None:
    contract = platform.settings.contracts / "weather.observed.yaml"
    before = contract.read_text()
    contract.write_text(before.replace("\nload:\n", "\nload:\n  overdue: 1m\n"))
    supervisor = platform.services().supervisor
    supervisor.stop("minio")
    try:
        wait("an alert", lambda: _open(platform, "overdue load") == ["weather.observed"], seconds=420)
    finally:
        supervisor.start("minio")
        contract.write_text(before)
    wait("no alert", lambda: _open(platform, "overdue load") == [], seconds=420)


def _watch(platform: Running) -> None:
    with airflow_client(platform.settings) as airflow:
        run_dags(airflow, ["watch"], print)


def _open(platform: Running, kind: str) -> list[str]:
    found = platform.query(f"select subject from ops.alerts where kind = '{kind}' and cleared_at is null order by 1")
    return list(found["subject"])
