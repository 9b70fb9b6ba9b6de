"""The commands load, transform and backfill: what they ask of Airflow, and what they refuse before asking."""

from datetime import date
from typing import Any

import pytest

from sluice.cli import batch
from sluice.errors import TerminalError
from sluice.orchestration.rest import Json
from sluice.settings import ROOT, Settings


class Server:
    """An Airflow whose runs all end as told; it notes what it was asked."""

    def __init__(self, state: str = "success") -> None:
        self.state = state
        self.asked: list[Any] = []

    def close(self) -> None:
        self.asked.append("close")

    def dag(self, dag_id: str) -> Json:
        return {"is_paused": False}

    def refuse_paused(self, dag_id: str) -> None:
        return None

    def trigger(self, dag_id: str) -> str:
        self.asked.append(dag_id)
        return "1"

    def run(self, dag_id: str, run_id: str) -> Json:
        return {"state": "success"}

    def tasks(self, dag_id: str, run_id: str) -> list[Json]:
        return [{"task_id": "t", "state": self.state, "try_number": 1, "duration": 1.0}] if dag_id == "rebuild" else []

    def log(self, dag_id: str, run_id: str, task_id: str, attempt: int) -> list[Json]:
        return [{"event": "the lake is gone", "level": "error"}]

    def backfill(self, dag_id: str, first: date, last: date, conf: Json, at_once: int) -> int:
        self.asked.append((dag_id, str(first), str(last), conf))
        return 7

    def backfill_runs(self, dag_id: str, first: date, last: date) -> list[Json]:
        return [{"state": self.state, "dag_run_id": "r", "logical_date": "2013-01-01T00:00:00Z"}] * 2


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    held = Server()
    monkeypatch.setattr(batch, "Airflow", lambda settings: held)
    return held


SETTINGS = Settings(contracts=ROOT / "contracts")
SHOWN: list[str] = []


def test_all_loads_are_asked_for_and_followed(server: Server) -> None:
    batch.run_loads(SETTINGS, show=SHOWN.append)
    loads = ["load_flights_arrived", "load_flights_cancelled", "load_flights_departed", "load_weather_observed"]
    assert server.asked == [*loads, "close"]


def test_one_load_may_be_asked_for(server: Server) -> None:
    batch.run_loads(SETTINGS, ["weather.observed"], SHOWN.append)
    assert server.asked == ["load_weather_observed", "close"]


def test_transform_is_asked_for(server: Server) -> None:
    batch.run_transform(SETTINGS, SHOWN.append)
    assert server.asked == ["transform", "close"]


def test_a_backfill_is_followed_by_one_transform(server: Server) -> None:
    batch.run_backfill(SETTINGS, "2013-01-01", "2013-01-02", ["flights.arrived"], SHOWN.append)
    conf = {"streams": ["flights.arrived"]}
    assert server.asked == [("rebuild", "2013-01-01", "2013-01-02", conf), "transform", "close"]


def test_what_a_failing_backfill_did_rebuild_is_transformed_and_what_not_is_named(server: Server) -> None:
    server.state = "failed"
    with pytest.raises(TerminalError, match=r"2 of 2 dates were not rebuilt \(2013-01-01.*the lake is gone"):
        batch.run_backfill(SETTINGS, "2013-01-01", "2013-01-02", show=SHOWN.append)
    assert server.asked[1:] == ["transform", "close"]


@pytest.mark.parametrize(
    ("first", "last", "streams"),
    [
        ("2013-01-02", "2013-01-01", None),
        ("2012-01-02", "2013-01-01", None),
        ("2013-01-01", "x", None),
        ("2013-01-01", "2013-01-01", ["gates.changed"]),
    ],
)
def test_a_wrong_backfill_asks_nothing_of_airflow(
    server: Server, first: str, last: str, streams: list[str] | None
) -> None:
    with pytest.raises(TerminalError):
        batch.run_backfill(SETTINGS, first, last, streams, SHOWN.append)
    assert server.asked == []
