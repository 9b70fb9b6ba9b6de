import os
import signal
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from producers.events import Event
from producers.fault_injection import Faults
from producers.flights import replay as module
from producers.flights.replay import Replay, replay
from producers.position import Positions
from sluice.contracts import Contract, Contracts, InvalidContract
from sluice.errors import TerminalError, TransientError
from sluice.settings import Settings

SETTINGS = Settings(_env_file=None)  # type: ignore[call-arg]
DAY = date(2013, 1, 1)


def ignore_line(line: str) -> None:
    pass


@pytest.fixture
def delivery(recording_delivery: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    recorder = recording_delivery()
    monkeypatch.setattr(module, "connect", lambda *_: recorder)
    return recorder


def test_a_replay_confirms_every_event_and_saves_its_last_date(
    delivery: Any, contracts: dict[str, Contract], tmp_path: Path
) -> None:
    lines: list[str] = []
    request = Replay(DAY, DAY, faults=Faults(corrupt=0.1, seed=1))
    assert replay(request, SETTINGS, contracts, Positions(tmp_path), lines.append) == 0
    assert Positions(tmp_path).replayed_through == DAY
    assert delivery.closed
    arrived = sum(event.stream == "flights.arrived" for event in delivery.events)
    assert lines[0].split() == ["flights.arrived", f"{arrived:,}", "confirmed"]
    assert f"{sum(event.fault == 'corrupt' for event in delivery.events):,} corrupt" in lines[4]
    assert lines[5].split()[:3] == ["total", f"{len(delivery.events):,}", "confirmed"]


def test_a_stopped_replay_reports_what_is_confirmed_and_saves_nothing(
    delivery: Any, contracts: dict[str, Contract], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    send = delivery.send

    def send_and_stop(event: Event) -> None:
        send(event)
        if len(delivery.events) == 300:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(delivery, "send", send_and_stop)
    assert replay(Replay(DAY, DAY), SETTINGS, contracts, Positions(tmp_path), lines.append) == 143
    assert lines[-1] == f"stopped by SIGTERM: {len(delivery.events)} events confirmed, none unconfirmed"
    assert Positions(tmp_path).replayed_through is None


def test_an_invalid_or_removed_contract_costs_its_own_stream(
    delivery: Any, contracts: dict[str, Contract], tmp_path: Path
) -> None:
    invalid = InvalidContract(Path("contracts/weather.observed.yaml"), "line 3: odd", "fix it", "weather.observed")
    kept = Contracts([contracts["flights.departed"], contracts["flights.arrived"]], [invalid])
    lines: list[str] = []
    assert replay(Replay(DAY, DAY), SETTINGS, kept, Positions(tmp_path), lines.append) == 0
    assert {event.stream for event in delivery.events} == {"flights.departed", "flights.arrived"}
    assert lines[0] == (
        "warning: not sending weather.observed: line 3: odd. Hint: fix it, then"
        " `make replay FROM=2013-01-01 TO=2013-01-01 STREAMS=weather.observed` sends it."
    )
    # The live producer continues after it.
    assert Positions(tmp_path).replayed_through == DAY
    with pytest.raises(TerminalError, match=r"no contract for flights\.arrived"):
        replay(Replay(DAY, DAY), SETTINGS, Contracts(), Positions(tmp_path), ignore_line)


@pytest.mark.usefixtures("delivery")
def test_a_replay_of_some_streams_saves_no_date(contracts: dict[str, Contract], tmp_path: Path) -> None:
    request = Replay(DAY, DAY, streams=("weather.observed",))
    assert replay(request, SETTINGS, contracts, Positions(tmp_path), ignore_line) == 0
    assert Positions(tmp_path).replayed_through is None


def test_undelivered_events_end_the_replay_with_an_error(
    recording_delivery: Any, contracts: dict[str, Contract], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = recording_delivery(confirm=1_000)
    monkeypatch.setattr(module, "connect", lambda *_: failing)
    with pytest.raises(TransientError, match="events were not delivered"):
        replay(Replay(DAY, DAY), SETTINGS, contracts, Positions(tmp_path), ignore_line)
    assert failing.closed
    assert len(failing.events) < 1_500
    assert Positions(tmp_path).replayed_through is None
