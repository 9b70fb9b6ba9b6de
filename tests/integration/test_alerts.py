"""Alerts on a real warehouse: raised once, cleared when the problem is gone, delivered to channels that may fail."""

import json
import logging
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from sluice.alerts import (
    Change,
    DeliveryError,
    Problem,
    Run,
    Send,
    clear_alerts_of_removed,
    deliver,
    log_changes,
    sync_alerts,
)
from sluice.alerts.checks import high_quarantine_rate, stalled_sinks
from sluice.alerts.clocks import clock_skew
from sluice.alerts.store import runs_of_open_alerts
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


RUN = Run("monitor", "manual__1")


def _sync(settings: Settings, kind: str, problems: dict[str, str], channels: Collection[str] = ()) -> list[Change]:
    return sync_alerts(settings, kind, {name: Problem(text, RUN) for name, text in problems.items()}, channels)


@pytest.mark.essential
def test_an_alert_is_raised_once_and_cleared_once(servers: Settings) -> None:
    assert _sync(servers, "fire", {"a": "smoke", "b": "smoke"}) == [
        Change("fire", "a", "smoke", RUN),
        Change("fire", "b", "smoke", RUN),
    ]
    assert _sync(servers, "fire", {"a": "flames", "b": "smoke"}) == []
    assert _sync(servers, "flood", {}) == []
    assert _sync(servers, "fire", {"a": "flames"}) == [Change("fire", "b", "smoke", RUN, cleared=True)]
    assert _sync(servers, "fire", {"a": "flames"}) == []
    assert _sync(servers, "fire", {"b": "again"}) == [
        Change("fire", "b", "again", RUN),
        Change("fire", "a", "flames", RUN, cleared=True),
    ]
    assert _stored(servers) == [
        ("fire", "a", "flames", True),
        ("fire", "b", "smoke", True),
        ("fire", "b", "again", False),
    ]


def test_an_alert_that_goes_on_names_the_latest_run(servers: Settings) -> None:
    second = Run("transform", "manual__2")
    sync_alerts(servers, "reconcile", {"platform": Problem("disagree", RUN)})
    assert sync_alerts(servers, "reconcile", {"platform": Problem("disagree", second)}) == []
    assert runs_of_open_alerts(servers, "reconcile") == {second}


def test_alerts_of_a_removed_contract_are_cleared_with_that_reason(servers: Settings) -> None:
    _sync(servers, "stalled sink", {"a.b": "stalled", "a.c": "stalled"})
    (cleared,) = clear_alerts_of_removed(servers, ["a.b"], ["chat"])
    assert cleared.text() == (
        "cleared: stalled sink: a.b: stalled; cleared because the contract of the stream was removed"
    )
    received: list[Change] = []
    deliver(servers, {"chat": received.append})
    assert received == [cleared]


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
    raised = [Change("fire", r"contracts/a\ud800\x00.yaml", r"\x1b[2J\u202e\nforged", RUN)]
    assert _sync(servers, "fire", {subject: message}) == raised
    assert _sync(servers, "fire", {subject: message}) == []
    assert [change.cleared for change in _sync(servers, "fire", {})] == [True]


@pytest.mark.essential
def test_a_channel_that_is_down_loses_no_message_and_delays_no_other(
    servers: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    received: dict[str, list[str]] = {"up": [], "down": []}

    def refuse(_: Change) -> None:
        raise DeliveryError("HTTP 500")

    def broken(_: Change) -> None:
        raise ConnectionError("http://user:secret@host")

    def append(name: str) -> Send:
        return lambda change: received[name].append(change.text())

    _sync(servers, "fire", {"a": "smoke", "b": "smoke"}, channels=received)
    with caplog.at_level(logging.INFO, logger="sluice"):
        deliver(servers, {"down": refuse, "up": append("up")})
        _sync(servers, "fire", {"b": "smoke"}, channels=received)
        deliver(servers, {"down": broken, "up": append("up")})
    messages = ["alert: fire: a: smoke", "alert: fire: b: smoke", "cleared: fire: a: smoke"]
    assert received == {"up": messages, "down": []}
    assert [record.message for record in caplog.records if "delivered" in record.message] == [
        f"alerts were not delivered to down, the next run tries again: {cause}. Hint: check Airflow's connection down."
        for cause in ("HTTP 500", "ConnectionError")
    ]
    assert "secret" not in caplog.text
    deliver(servers, {"down": append("down"), "up": append("up")})
    deliver(servers, {"down": append("down"), "up": append("up")})
    assert received == {"up": messages, "down": messages}


def test_messages_of_a_channel_that_was_removed_are_dropped(servers: Settings) -> None:
    _sync(servers, "fire", {"a": "smoke"}, channels=["gone"])
    deliver(servers, {})
    received: list[Change] = []
    deliver(servers, {"gone": received.append})
    assert received == []


def test_two_tasks_that_deliver_at_once_send_each_message_once_and_in_order(servers: Settings) -> None:
    _sync(servers, "fire", {f"{number:02}": "smoke" for number in range(20)}, channels=["chat"])
    received: list[str] = []
    with ThreadPoolExecutor(2) as pool:
        for done in [
            pool.submit(deliver, servers, {"chat": lambda change: received.append(change.subject)}) for _ in "ab"
        ]:
            done.result()
    assert received == [f"{number:02}" for number in range(20)]


def test_each_change_is_one_line_of_the_log_with_the_address_of_its_run(caplog: pytest.LogCaptureFixture) -> None:
    changes = [Change("fire", "a", "smoke", RUN), Change("fire", "b", "smoke", None, cleared=True)]
    with caplog.at_level(logging.INFO, logger="sluice"):
        log_changes(changes, "http://airflow")
    assert [(record.levelname, record.message) for record in caplog.records if record.name.startswith("sluice")] == [
        ("ERROR", "alert: fire: a: smoke (http://airflow/dags/monitor/runs/manual__1)"),
        ("INFO", "cleared: fire: b: smoke"),
    ]


def test_a_high_quarantine_rate_is_a_problem_until_more_valid_records_are_loaded(
    servers: Settings, make_stream: Callable[..., Stream]
) -> None:
    good, bad = make_stream(), make_stream()
    for stream, invalid in ((good, 4), (bad, 10)):
        stream.send([*(_event(number) for number in range(100 - invalid)), *[b"{}"] * invalid])
        stream.land()
        load(servers, stream.contract)
    problems = high_quarantine_rate(servers)
    assert good.contract.stream not in problems
    assert problems[bad.contract.stream].startswith("10 of 100 records loaded in the last hour (10%) are invalid")
    bad.send([_event(number) for number in range(100, 200)])
    bad.land()
    load(servers, bad.contract)
    assert bad.contract.stream not in high_quarantine_rate(servers)


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
