"""What the dashboard serves to Prometheus is what the reference describes, with the figures of the warehouse."""

import json
from collections.abc import Callable

from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from dashboard.app import create_app
from sluice.alerts import Problem, Run, sync_alerts
from sluice.load import load
from sluice.settings import Settings
from tests.fixtures.airflow_tables import airflow_tables
from tests.fixtures.metrics_page import described, served
from tests.fixtures.servers import Stream


def _metrics(settings: Settings) -> str:
    # Without its lifespan, which would poll servers that do not run here.
    response = TestClient(create_app(settings), base_url="http://127.0.0.1").get("/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    return response.text


def _samples(text: str) -> dict[tuple[str, ...], float]:
    """Returns the value of each sample, by name and the values of its labels."""
    families = text_string_to_metric_families(text)
    return {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}


def test_the_reference_describes_what_the_dashboard_serves(make_stream: Callable[..., Stream]) -> None:
    stream = make_stream(partitions=1)
    event = {"event_id": "e1", "sensor": "s", "read_at": "2013-01-01T10:15:00Z", "reading": 1}
    stream.send([json.dumps(event).encode()] * 3 + [b"{}"] * 2)
    stream.land()
    load(stream.settings, stream.contract)
    sync_alerts(stream.settings, "fire", {"a": Problem("smoke", Run("monitor", "1"))}, ["chat"])
    try:
        with airflow_tables(stream.settings) as airflow:
            airflow.execute("insert into dag values ('monitor', false), ('transform', false), ('gone', true)")
            airflow.execute(
                "insert into dag_run values"
                " ('monitor', '1', 'success', 'manual', 'epoch', 'epoch', '1970-01-01 00:00:07+00'),"
                " ('monitor', '2', 'running', 'manual', now(), now(), null),"
                " ('transform', '1', 'failed', 'manual', 'epoch', 'epoch', '1970-01-01 00:01:00+00'),"
                " ('gone', '1', 'failed', 'manual', 'epoch', 'epoch', '1970-01-01 00:01:00+00')"
            )
            text = _metrics(stream.settings)
    finally:
        sync_alerts(stream.settings, "fire", {})
    assert served(text) == described("Dashboard").keys()
    samples = _samples(text)
    expected = {
        ("sluice_up", "Postgres"): 1,
        ("sluice_load_rows_total", stream.name): 3,
        ("sluice_load_quarantined_total", stream.name): 2,
        ("sluice_load_offsets_total", stream.name): 5,
        ("sluice_quarantine_records", stream.name): 2,
        # The valid events' date, and that of the records' timestamps, are the same.
        ("sluice_stale_dates", stream.name): 1,
        ("sluice_watermark_timestamp_seconds", stream.name): 1_357_035_300,
        ("sluice_alerts", "fire"): 1,
        ("sluice_alert_messages", "chat"): 1,
        ("sluice_dag_failed", "monitor"): 0,
        ("sluice_dag_failed", "transform"): 1,
        ("sluice_dag_run_seconds", "transform"): 60,
        ("sluice_dag_success_timestamp_seconds", "monitor"): 7,
        ("sluice_dag_active_runs", "monitor"): 1,
    }
    assert {name: samples[name] for name in expected} == expected
    assert ("sluice_dag_failed", "gone") not in samples
    assert samples["sluice_disk_free_bytes",] > 0
    labels = {
        sample.name: tuple(sample.labels)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    for family, names in described("Dashboard").items():
        assert labels.get(family.name, names) == names, family.name


def test_while_postgres_is_down_the_other_metrics_are_served(servers: Settings) -> None:
    samples = _samples(_metrics(servers.model_copy(update={"postgres_port": 1})))
    assert samples["sluice_up", "Postgres"] == 0
    assert samples["sluice_disk_size_bytes",] > 0
    assert not any(name.startswith(("sluice_load", "sluice_dag")) for name, *_ in samples)
