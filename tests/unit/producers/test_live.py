import json
import os
import signal
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from producers import live as module
from producers.events import Event
from producers.flights.timeline import Timeline
from producers.live import live
from producers.position import Positions
from sluice.contracts import Contract
from sluice.errors import TransientError

LAST = date(2013, 12, 31)
FAST = 1e9
Run = Callable[..., int]


@pytest.fixture
def positions(tmp_path: Path) -> Positions:
    made = Positions(tmp_path)
    made.replayed(date(2013, 12, 30))
    return made


@pytest.fixture
def last_day(contracts: dict[str, Contract]) -> list[Event]:
    return [event for batch in Timeline(contracts, LAST, LAST).batches() for event in batch]


class Screen:
    """Takes the lines; asks for a stop when the data has ended."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)
        if "nothing more to send" in line:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture
def screen() -> Screen:
    return Screen()


@pytest.fixture
def recorder(recording: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    made = recording()
    monkeypatch.setattr(module, "connect", lambda *_: made)
    return made


def test_it_goes_on_with_the_date_after_the_replay_to_the_end_of_the_year(
    recorder: Any, screen: Screen, positions: Positions, contracts: dict[str, Contract], last_day: list[Event]
) -> None:
    assert live("-", contracts, positions, screen.say, FAST) == 143
    assert recorder.events == last_day
    assert screen.lines[0] == "going on from 2013-12-31 to 2013-12-31 at 1e+09 times real speed"
    assert screen.lines[1].startswith("2013-12-31: ")
    assert screen.lines[-1].startswith("the data ends with 2013-12-31")


def test_at_the_end_it_idles_and_sends_nothing_again(
    recorder: Any, screen: Screen, positions: Positions, contracts: dict[str, Contract], last_day: list[Event]
) -> None:
    live("-", contracts, positions, screen.say, FAST)
    live("-", contracts, positions, screen.say, FAST)
    assert len(recorder.events) == len(last_day)


def test_after_a_replay_of_the_whole_year_there_is_nothing_to_send(
    recorder: Any, screen: Screen, positions: Positions, contracts: dict[str, Contract]
) -> None:
    positions.replayed(LAST)
    assert live("-", contracts, positions, screen.say, FAST) == 143
    assert recorder.events == []


def test_stopped_in_between_it_goes_on_where_it_was(
    recorder: Any,
    screen: Screen,
    positions: Positions,
    contracts: dict[str, Contract],
    last_day: list[Event],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    send = recorder.send

    def stopping(event: Event) -> None:
        send(event)
        if len(recorder.events) == 1_000:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(recorder, "send", stopping)
    assert live("-", contracts, positions, screen.say, FAST) == 143
    assert len(recorder.events) < len(last_day)
    live("-", contracts, positions, screen.say, FAST)
    assert set(recorder.events) == set(last_day)
    # Only what shares its time with the first event to come is sent again.
    assert len(recorder.events) - len(last_day) < 10


def test_killed_it_loses_nothing_and_sends_little_twice(
    recorder: Any,
    screen: Screen,
    positions: Positions,
    contracts: dict[str, Contract],
    last_day: list[Event],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    send = recorder.send

    def dying(event: Event) -> None:
        send(event)
        if len(recorder.events) == 1_000:
            raise KeyError("killed")

    monkeypatch.setattr(recorder, "send", dying)
    monkeypatch.setattr(module, "_SAVE_SECONDS", 0)
    with pytest.raises(KeyError):
        live("-", contracts, positions, screen.say, FAST)
    live("-", contracts, positions, screen.say, FAST)
    ids = [json.loads(event.value)["event_id"] for event in recorder.events]
    assert set(ids) == {json.loads(event.value)["event_id"] for event in last_day}
    assert len(ids) - len(set(ids)) < 500


def test_what_is_not_confirmed_is_sent_again(
    recorder: Any,
    screen: Screen,
    positions: Positions,
    contracts: dict[str, Contract],
    last_day: list[Event],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(type(recorder), "oldest", property(lambda _: last_day[300].timestamp))
    live("-", contracts, positions, screen.say, FAST)
    assert positions.live == (LAST, last_day[300].timestamp)


def test_it_waits_for_kafka_and_says_so_once(
    recorder: Any,
    screen: Screen,
    positions: Positions,
    contracts: dict[str, Contract],
    last_day: list[Event],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refusals = [TransientError("Kafka at here does not answer"), TransientError("still not")]

    def connect(*_: object) -> Any:
        if refusals:
            raise refusals.pop(0)
        return recorder

    monkeypatch.setattr(module, "connect", connect)
    monkeypatch.setattr(module, "_RETRY_SECONDS", 0.01)
    assert live("-", contracts, positions, screen.say, FAST) == 143
    assert screen.lines[0] == "Kafka at here does not answer; waiting for it"
    assert len(recorder.events) == len(last_day)
    assert not any("still not" in line for line in screen.lines)
