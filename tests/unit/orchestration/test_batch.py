"""The commands load and transform: the runs that they trigger in Airflow."""

from datetime import UTC, datetime, timedelta

from sluice.orchestration import batch
from sluice.settings import ROOT, Settings
from tests.unit.conftest import FakeAirflow

SETTINGS = Settings(contracts=ROOT / "contracts")
SHOWN: list[str] = []


def test_all_loads_are_triggered_and_followed(airflow: FakeAirflow) -> None:
    batch.run_loads(SETTINGS, show=SHOWN.append)
    loads = ["load_flights_arrived", "load_flights_cancelled", "load_flights_departed", "load_weather_observed"]
    assert airflow.requests == [*loads, "close"]


def test_a_single_load_can_be_triggered(airflow: FakeAirflow) -> None:
    batch.run_loads(SETTINGS, ["weather.observed"], SHOWN.append)
    assert airflow.requests == ["load_weather_observed", "close"]


def test_transform_is_triggered(airflow: FakeAirflow) -> None:
    batch.run_transform(SETTINGS, SHOWN.append)
    assert airflow.requests == ["transform", "close"]


def test_a_load_that_was_queued_since_all_was_in_the_lake_is_followed_instead_of_another(airflow: FakeAirflow) -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    airflow.newest = {"load_flights_arrived": moment, "load_weather_observed": moment - timedelta(seconds=1)}
    batch.run_loads(SETTINGS, show=SHOWN.append, since=moment)
    assert airflow.requests == ["load_flights_cancelled", "load_flights_departed", "load_weather_observed", "close"]
