import json
import os
import signal
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from producers.events import Event
from producers.flights import live as module
from producers.flights.live import live
from producers.flights.timeline import Timeline
from producers.position import Positions
from sluice.contracts import Contract
from sluice.errors import TransientError
from sluice.settings import Settings

SETTINGS = Settings(_env_file=None)  # type: ignore[call-arg]
LAST = date(2013, 12, 31)
FAST = 1e9


@pytest.fixture
def positions(tmp_path: Path) -> Positions:
    positions = Positions(tmp_path)
    positions.save_replayed_through(date(2013, 12, 30))
    return positions


@pytest.fixture
def last_day(contracts: dict[str, Contract]) -> list[Event]:
    return [event for batch in Timeline(contracts, LAST, LAST).batches() for event in batch]


class Output:
    """Collects the lines; stops the producer at the end of the data."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def write_line(self, line: str) -> None:
        self.lines.append(line)
        if "nothing more to send" in line:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture
def output() -> Output:
    return Output()


@pytest.fixture
def delivery(recording_delivery: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    recorder = recording_delivery()
    monkeypatch.setattr(module, "connect_kafka_python", lambda *_: recorder)
    return recorder


def test_it_sends_the_dates_after_the_replay_to_the_end_of_the_year(
    delivery: Any, output: Output, positions: Positions, contracts: dict[str, Contract], last_day: list[Event]
) -> None:
    assert live(SETTINGS, contracts, positions, output.write_line, FAST) == 143
    assert delivery.events == last_day
    assert output.lines[0] == "resuming at 2013-12-31, sending through 2013-12-31 at 1e+09 times real time"
    assert output.lines[1].startswith("2013-12-31: ")
    assert output.lines[-1].startswith("reached the end of the data (2013-12-31)")


def test_a_restart_after_the_end_sends_nothing(
    delivery: Any, output: Output, positions: Positions, contracts: dict[str, Contract], last_day: list[Event]
) -> None:
    live(SETTINGS, contracts, positions, output.write_line, FAST)
    live(SETTINGS, contracts, positions, output.write_line, FAST)
    assert len(delivery.events) == len(last_day)


def test_after_a_replay_of_the_whole_year_nothing_is_sent(
    delivery: Any, output: Output, positions: Positions, contracts: dict[str, Contract]
) -> None:
    positions.save_replayed_through(LAST)
    assert live(SETTINGS, contracts, positions, output.write_line, FAST) == 143
    assert delivery.events == []


def test_after_a_stop_it_resumes_at_its_position(
    delivery: Any,
    output: Output,
    positions: Positions,
    contracts: dict[str, Contract],
    last_day: list[Event],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    send = delivery.send

    def send_and_stop(event: Event) -> None:
        send(event)
        if len(delivery.events) == 1_000:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(delivery, "send", send_and_stop)
    assert live(SETTINGS, contracts, positions, output.write_line, FAST) == 143
    assert len(delivery.events) < len(last_day)
    live(SETTINGS, contracts, positions, output.write_line, FAST)
    assert set(delivery.events) == set(last_day)
    # Only the events with the same time as the next event are resent.
    assert len(delivery.events) - len(last_day) < 10


def test_after_a_kill_nothing_is_lost_and_few_events_are_resent(
    delivery: Any,
    output: Output,
    positions: Positions,
    contracts: dict[str, Contract],
    last_day: list[Event],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    send = delivery.send

    def send_and_die(event: Event) -> None:
        send(event)
        if len(delivery.events) == 1_000:
            raise KeyError("killed")

    monkeypatch.setattr(delivery, "send", send_and_die)
    monkeypatch.setattr(module, "_SAVE_SECONDS", 0)
    with pytest.raises(KeyError):
        live(SETTINGS, contracts, positions, output.write_line, FAST)
    live(SETTINGS, contracts, positions, output.write_line, FAST)
    ids = [json.loads(event.value)["event_id"] for event in delivery.events]
    assert set(ids) == {json.loads(event.value)["event_id"] for event in last_day}
    assert len(ids) - len(set(ids)) < 500


def test_the_position_is_that_of_the_oldest_unconfirmed_event(
    delivery: Any,
    output: Output,
    positions: Positions,
    contracts: dict[str, Contract],
    last_day: list[Event],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(type(delivery), "oldest_pending", property(lambda _: last_day[300].timestamp))
    live(SETTINGS, contracts, positions, output.write_line, FAST)
    assert positions.live_position == (LAST, last_day[300].timestamp)


def test_it_waits_for_kafka_and_reports_that_once(
    delivery: Any,
    output: Output,
    positions: Positions,
    contracts: dict[str, Contract],
    last_day: list[Event],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    errors = [TransientError("Kafka is down"), TransientError("still down")]

    def connect(*_: object) -> Any:
        if errors:
            raise errors.pop(0)
        return delivery

    monkeypatch.setattr(module, "connect_kafka_python", connect)
    monkeypatch.setattr(module, "_RETRY_SECONDS", 0.01)
    assert live(SETTINGS, contracts, positions, output.write_line, FAST) == 143
    assert output.lines[0] == "waiting for Kafka: Kafka is down"
    assert len(delivery.events) == len(last_day)
    assert not any("still down" in line for line in output.lines)
