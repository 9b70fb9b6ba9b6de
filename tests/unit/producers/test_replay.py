import os
import signal
import time
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from producers import replay as module
from producers.events import Event
from producers.fault_injection import Faults
from producers.position import Positions
from producers.replay import Pace, Replay, play, replay, report
from producers.stop import Stop
from sluice.contracts import Contract
from sluice.errors import TransientError

DAY = date(2013, 1, 1)


def minutes(count: int) -> list[Event]:
    return [Event("weather.observed", b"JFK", b"{}", 60_000 * at, 60_000 * at) for at in range(count)]


def ignore(event: Event) -> None:
    pass


@pytest.fixture
def recorder(recording: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    made = recording()
    monkeypatch.setattr(module, "connect", lambda *_: made)
    return made


def test_as_fast_as_it_can_sends_everything_in_order(recording: Any) -> None:
    made, delivery = minutes(1_000), recording()
    with Stop() as stop:
        assert play([made[:600], made[600:]], delivery, stop, 0, ignore)
    assert delivery.events == made


def test_pace_follows_event_time() -> None:
    now = 100.0
    pace = Pace(60, lambda: now)
    made = minutes(10)
    assert pace.delay(made[0].due) == 0
    assert pace.delay(made[3].due) == pytest.approx(3)
    assert pace.reached(made, 0) == 1
    assert pace.reached(made, 1) == 1
    now = 104.5
    assert pace.delay(made[3].due) == 0
    assert pace.reached(made, 1) == 5


def test_a_paced_play_waits_for_each_event_and_sends_all(recording: Any) -> None:
    delivery = recording()
    started = time.monotonic()
    with Stop() as stop:
        assert play([minutes(5)], delivery, stop, 1_200, ignore)
    # Four minutes of event time lie between the first and the last: never sooner, on however busy a machine.
    assert time.monotonic() - started >= 4 * 60 / 1_200
    assert len(delivery.events) == 5


def test_a_signal_stops_it_at_once(recording: Any) -> None:
    delivery = recording()

    def interrupt(_: Event) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    with Stop() as stop:
        assert not play([minutes(1_000)], delivery, stop, 0, interrupt)
    assert 0 < len(delivery.events) < 1_000


def test_a_signal_wakes_it_from_a_long_wait(recording: Any) -> None:
    delivery = recording()
    with Stop() as stop:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        before = signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
        assert not play([minutes(2)], delivery, stop, 0.001, ignore)
        signal.signal(signal.SIGALRM, before)
    assert len(delivery.events) == 1


def test_a_replay_confirms_every_event_and_notes_its_end(
    recorder: Any, contracts: dict[str, Contract], tmp_path: Path
) -> None:
    said: list[str] = []
    wanted = Replay(DAY, DAY, disturbances=Faults(corrupt=0.1, seed=1))
    assert replay(wanted, "-", contracts, Positions(tmp_path), said.append) == 0
    assert Positions(tmp_path).replayed_through == DAY
    assert recorder.closed
    arrived = sum(event.stream == "flights.arrived" for event in recorder.events)
    assert said[0].split() == ["flights.arrived", f"{arrived:,}", "confirmed"]
    assert f"{sum(event.disturbance == 'corrupt' for event in recorder.events):,} corrupt" in said[4]
    assert said[5].split()[:3] == ["total", f"{len(recorder.events):,}", "confirmed"]


def test_a_stopped_replay_says_how_many_are_confirmed_and_notes_nothing(
    recorder: Any, contracts: dict[str, Contract], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []

    send = recorder.send

    def stopping(event: Event) -> None:
        send(event)
        if len(recorder.events) == 300:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(recorder, "send", stopping)
    assert replay(Replay(DAY, DAY), "-", contracts, Positions(tmp_path), said.append) == 143
    assert said[-1] == f"stopped by SIGTERM: {len(recorder.events)} events are confirmed, none more were sent"
    assert Positions(tmp_path).replayed_through is None


@pytest.mark.usefixtures("recorder")
def test_a_part_of_the_streams_is_no_replay_to_go_on_from(contracts: dict[str, Contract], tmp_path: Path) -> None:
    wanted = Replay(DAY, DAY, streams=("weather.observed",))
    assert replay(wanted, "-", contracts, Positions(tmp_path), ignore_line) == 0
    assert Positions(tmp_path).replayed_through is None


def test_events_that_are_refused_end_it_with_an_error(
    recording: Any, contracts: dict[str, Contract], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing = recording(refuse_from=1_000)
    monkeypatch.setattr(module, "connect", lambda *_: refusing)
    with pytest.raises(TransientError, match="events were not delivered"):
        replay(Replay(DAY, DAY), "-", contracts, Positions(tmp_path), ignore_line)
    assert refusing.closed
    assert len(refusing.events) < 1_500
    assert Positions(tmp_path).replayed_through is None


def test_the_report_adds_up(recording: Any) -> None:
    delivery = recording()
    delivery.confirmed = Counter({("a", ""): 10, ("a", "late"): 1, ("b", "duplicate"): 2})
    assert [line.split() for line in report(delivery, ("a", "b"), 2.0)] == [
        ["a", "11", "confirmed"],
        ["b", "2", "confirmed"],
        ["of", "them", "1", "late,", "2", "duplicate,", "0", "corrupt,", "0", "invalid"],
        ["total", "13", "confirmed", "in", "2.0", "s,", "6/s"],
    ]


def ignore_line(line: str) -> None:
    pass
