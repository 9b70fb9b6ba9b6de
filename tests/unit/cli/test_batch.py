"""The commands load and transform: what they ask of Airflow."""

from typing import Any

import pytest

from sluice.cli import batch
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

    def trigger(self, dag_id: str, run_id: str) -> None:
        self.asked.append(dag_id)

    def run(self, dag_id: str, run_id: str) -> Json:
        return {"state": "success"}

    def tasks(self, dag_id: str, run_id: str) -> list[Json]:
        return [{"task_id": "t", "state": self.state, "try_number": 1, "duration": 1.0}] if dag_id == "rebuild" else []

    def log(self, dag_id: str, run_id: str, task_id: str, attempt: int) -> list[Json]:
        return [{"event": "the lake is gone", "level": "error"}]


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
