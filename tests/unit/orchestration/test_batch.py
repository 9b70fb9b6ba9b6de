"""The commands load and transform: what they ask of Airflow."""

from sluice.orchestration import batch
from sluice.settings import ROOT, Settings
from tests.unit.conftest import Server

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
