import os
import signal
import time
from typing import Any

import pytest

from producers.events import Event
from producers.pacing import Pace, play
from producers.stop import Stop


def events_by_minute(count: int) -> list[Event]:
    return [Event("weather.observed", b"JFK", b"{}", 60_000 * at, 60_000 * at) for at in range(count)]


def ignore(event: Event) -> None:
    pass


def test_speed_0_sends_everything_in_order(recording_delivery: Any) -> None:
    events, delivery = events_by_minute(1_000), recording_delivery()
    with Stop() as stop:
        assert play([events[:600], events[600:]], delivery, stop, 0, ignore)
    assert delivery.events == events


def test_pace_follows_event_time() -> None:
    now = 100.0
    pace = Pace(60, lambda: now)
    events = events_by_minute(10)
    assert pace.delay(events[0].due) == 0
    assert pace.delay(events[3].due) == pytest.approx(3)
    assert pace.due_end(events, 0) == 1
    assert pace.due_end(events, 1) == 1
    now = 104.5
    assert pace.delay(events[3].due) == 0
    assert pace.due_end(events, 1) == 5


def test_paced_events_are_sent_when_due(recording_delivery: Any) -> None:
    delivery = recording_delivery()
    started = time.monotonic()
    with Stop() as stop:
        assert play([events_by_minute(5)], delivery, stop, 1_200, ignore)
    # Four minutes of event time lie between the first and the last event: never sooner, however busy the machine is.
    assert time.monotonic() - started >= 4 * 60 / 1_200
    assert len(delivery.events) == 5


def test_a_signal_stops_the_loop_at_once(recording_delivery: Any) -> None:
    delivery = recording_delivery()

    def interrupt(_: Event) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    with Stop() as stop:
        assert not play([events_by_minute(1_000)], delivery, stop, 0, interrupt)
    assert 0 < len(delivery.events) < 1_000


def test_a_signal_interrupts_a_long_wait(recording_delivery: Any) -> None:
    delivery = recording_delivery()
    with Stop() as stop:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        previous = signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
        assert not play([events_by_minute(2)], delivery, stop, 0.001, ignore)
        signal.signal(signal.SIGALRM, previous)
    assert len(delivery.events) == 1
