"""Alerts on a real warehouse: raised once, cleared when the problem is gone, and sent to a webhook that may fail."""

import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from sluice.alerts import Change, notify, sync_alerts
from sluice.alerts.checks import high_quarantine_rate, stalled_sinks
from sluice.alerts.clocks import clock_skew
from sluice.load import load
from sluice.settings import Settings
from sluice.warehouse import connect
from tests.fixtures.servers import Stream


@pytest.fixture(autouse=True)
def no_alerts(servers: Settings) -> None:
    with connect(servers, "loader") as loader:
        loader.execute("delete from ops.alerts")


def _event(number: int) -> bytes:
    event = {"event_id": f"e{number}", "sensor": "s", "read_at": "2013-01-01T10:15:00Z", "reading": number}
    return json.dumps(event).encode()


def _stored(settings: Settings) -> list[tuple[object, ...]]:
    with connect(settings, "reader") as reader:
        query = "select kind, subject, message, cleared_at is not null from ops.alerts order by seq"
        return reader.execute(query).fetchall()


@pytest.mark.essential
def test_an_alert_is_raised_once_and_cleared_once(servers: Settings) -> None:
    assert sync_alerts(servers, "fire", {"a": "smoke", "b": "smoke"}) == [
        Change("fire", "a", "smoke"),
        Change("fire", "b", "smoke"),
    ]
    assert sync_alerts(servers, "fire", {"a": "flames", "b": "smoke"}) == []
    assert sync_alerts(servers, "flood", {}) == []
    assert sync_alerts(servers, "fire", {}, among=["b"]) == [Change("fire", "b", "smoke", cleared=True)]
    assert sync_alerts(servers, "fire", {}, among=["b"]) == []
    assert sync_alerts(servers, "fire", {"b": "again"}) == [
        Change("fire", "b", "again"),
        Change("fire", "a", "flames", cleared=True),
    ]
    assert _stored(servers) == [
        ("fire", "a", "flames", True),
        ("fire", "b", "smoke", True),
        ("fire", "b", "again", False),
    ]


def test_a_clock_that_is_behind_the_events_is_named_and_their_dates_close(make_stream: Callable[..., Stream]) -> None:
    stream = make_stream(partitions=1)
    assert stream.name not in clock_skew(stream.settings)
    # Within the hour that a slow clock is forgiven.
    moment = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=20)
    event = {"event_id": "e1", "sensor": "s", "read_at": moment.isoformat(), "reading": 1}
    stream.send([json.dumps(event).encode()], int(moment.timestamp() * 1000))
    stream.land()
    load(stream.settings, stream.contract)
    with connect(stream.settings, "reader") as reader:
        query = "select watermark from ops.watermarks where stream = %s"
        assert reader.execute(query, (stream.name,)).fetchone() == (moment,)
    problem = clock_skew(stream.settings)[stream.name]
    assert "ahead of the clock of the host that loads them" in problem
    assert not {"Postgres", "MinIO"} & clock_skew(stream.settings).keys()


def test_an_alert_that_quotes_anything_is_stored_and_told_in_printable_text(servers: Settings) -> None:
    subject, message = "contracts/a\ud800\0.yaml", "\x1b[2J\u202e\nforged"
    raised = [Change("fire", r"contracts/a\ud800\x00.yaml", r"\x1b[2J\u202e\nforged")]
    assert sync_alerts(servers, "fire", {subject: message}) == raised
    assert sync_alerts(servers, "fire", {subject: message}, among=[subject]) == []
    assert [change.cleared for change in sync_alerts(servers, "fire", {}, among=[subject])] == [True]


@pytest.mark.essential
def test_each_change_is_logged_and_sent_to_the_webhook(caplog: pytest.LogCaptureFixture) -> None:
    changes = [Change("fire", "a", "smoke"), Change("fire", "b", "smoke", cleared=True)]
    with _webhook(200) as (address, received), caplog.at_level(logging.INFO, logger="sluice"):
        notify(changes, address)
    assert [record.message for record in caplog.records if record.name.startswith("sluice")] == [
        "alert: fire: a: smoke",
        "cleared: fire: b: smoke",
    ]
    assert received == [
        {"text": "alert: fire: a: smoke", "kind": "fire", "subject": "a", "message": "smoke", "cleared": False},
        {"text": "cleared: fire: b: smoke", "kind": "fire", "subject": "b", "message": "smoke", "cleared": True},
    ]


@pytest.mark.essential
def test_a_failed_webhook_delivery_is_logged_without_the_address(caplog: pytest.LogCaptureFixture) -> None:
    with _webhook(500) as (address, received):
        notify([Change("fire", "a", "smoke")], f"{address}/secret")
    assert len(received) == 1
    notify([Change("fire", "a", "smoke")], f"{address}/secret")
    assert [record.message for record in caplog.records if "webhook" in record.message] == [
        "webhook delivery failed: HTTP 500. Hint: check the host of Airflow's connection alert_webhook.",
        "webhook delivery failed: ConnectError. Hint: check the host of Airflow's connection alert_webhook.",
    ]
    assert "secret" not in caplog.text


def test_only_a_high_quarantine_rate_raises_an_alert(servers: Settings, make_stream: Callable[..., Stream]) -> None:
    good, bad = make_stream(), make_stream()
    for stream, invalid in ((good, 4), (bad, 10)):
        stream.send([*(_event(number) for number in range(100 - invalid)), *[b"{}"] * invalid])
        stream.land()
        load(servers, stream.contract)
    problems = high_quarantine_rate(servers)
    assert good.contract.stream not in problems
    assert problems[bad.contract.stream].startswith("10 of 100 records loaded in the last hour (10%) are invalid")


def test_a_stalled_sink_is_a_problem_until_it_resumes(servers: Settings, make_stream: Callable[..., Stream]) -> None:
    stream = make_stream()
    settings = servers.model_copy(update={"sink_age_seconds": 0.2})
    contracts = {stream.contract.stream: stream.contract}
    stream.send([b"{}"] * 5)
    stream.land()
    assert stalled_sinks(settings, contracts) == {}
    stream.send([b"{}"] * 7)
    assert stalled_sinks(settings, contracts)[stream.contract.stream].startswith("lag of 7 offsets in ")
    stream.land()
    assert stalled_sinks(settings, contracts) == {}


@contextmanager
def _webhook(status: int) -> Iterator[tuple[str, list[Any]]]:
    received: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return None

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", received
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
