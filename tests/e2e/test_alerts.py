"""Alerts on a complete platform: raised while a sink or a load is stalled, and cleared when it resumes."""

from sluice.orchestration.batch import airflow_client, run_dags
from tests.fixtures.platform import Running
from tests.fixtures.waiting import wait


def test_a_stalled_sink_raises_an_alert_until_it_resumes(platform: Running) -> None:
    supervisor = platform.services().supervisor
    supervisor.stop("sink")
    try:
        platform.sluice("replay", "--from", "2013-01-06", "--to", "2013-01-06", "--streams", "flights.cancelled")
        _monitor(platform)
        assert _open_alerts(platform, "stalled sink") == ["flights.cancelled"]
    finally:
        supervisor.start("sink")
    # The command first waits until the lake has everything that Kafka has.
    platform.sluice("load")
    _monitor(platform)
    assert _open_alerts(platform, "stalled sink") == []


def test_an_overdue_load_raises_an_alert_until_a_load_ends(platform: Running) -> None:
    contract = platform.settings.contracts / "weather.observed.yaml"
    original = contract.read_text()
    contract.write_text(original.replace("\nload:\n", "\nload:\n  overdue: 1m\n"))
    supervisor = platform.services().supervisor
    supervisor.stop("minio")
    try:
        wait("an alert", lambda: _open_alerts(platform, "overdue load") == ["weather.observed"], seconds=420)
    finally:
        supervisor.start("minio")
        contract.write_text(original)
    wait("no alert", lambda: _open_alerts(platform, "overdue load") == [], seconds=420)


def _monitor(platform: Running) -> None:
    with airflow_client(platform.settings) as airflow:
        run_dags(airflow, ["monitor"], print)


def _open_alerts(platform: Running, kind: str) -> list[str]:
    alerts = platform.query(f"select subject from ops.alerts where kind = '{kind}' and cleared_at is null order by 1")
    return list(alerts["subject"])
