import json
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest

from producers.flights import source
from producers.flights.streams import MAPPINGS, STREAMS
from producers.flights.timeline import Timeline
from producers.flights.values import json_values
from sluice.contracts import Contract


@pytest.fixture(scope="module")
def first_day() -> dict[str, pa.Table]:
    day = date(2013, 1, 1)
    return {"flights": source.flights(day, day), "weather": source.weather(day, day)}


@pytest.mark.parametrize("stream", STREAMS)
def test_the_fields_are_the_columns_of_the_contract(
    stream: str, contracts: dict[str, Contract], first_day: dict[str, pa.Table]
) -> None:
    rows = first_day[MAPPINGS[stream].table]
    fields = MAPPINGS[stream].fields(rows, pa.array([0] * len(rows), pa.int64()))
    assert list(fields) == [column.name for column in contracts[stream].columns]


@pytest.mark.parametrize("stream", STREAMS)
def test_every_value_respects_the_nulls_and_limits_of_the_contract(
    stream: str, contracts: dict[str, Contract], january: Timeline
) -> None:
    columns = contracts[stream].columns
    for batch in january.batches():
        for fields in (json.loads(event.value) for event in batch if event.stream == stream):
            for column in columns:
                value = fields[column.name]
                assert column.nullable or value is not None
                if value is not None:
                    assert column.minimum is None or value >= column.minimum
                    assert column.maximum is None or value <= column.maximum


def test_times_are_the_scheduled_time_plus_delay_and_air_time(first_day: dict[str, pa.Table]) -> None:
    flights = first_day["flights"]
    mapping = MAPPINGS["flights.arrived"]
    landed = flights.filter(mapping.has_event(flights))
    values = json_values(mapping.fields(landed, pa.array([0] * len(landed), pa.int64())))
    for row, value in zip(landed.to_pylist(), values, strict=True):
        scheduled = row["time_hour"].replace(tzinfo=UTC) + timedelta(minutes=row["minute"])
        event = json.loads(value)
        assert datetime.fromisoformat(event["scheduled_at"]) == scheduled
        minutes = row["dep_delay"] + row["air_time"]
        assert datetime.fromisoformat(event["landed_at"]) == scheduled + timedelta(minutes=minutes)


def test_the_first_flight_of_the_year(january: Timeline) -> None:
    departed = next(e for batch in january.batches() for e in batch if e.stream == "flights.departed")
    assert departed.key == b"UA1545-20130101T10"
    assert json.loads(departed.value) == {
        "event_id": "UA1545-20130101T10/departed",
        "flight_id": "UA1545-20130101T10",
        "carrier": "UA",
        "flight_number": 1545,
        "tail_number": "N14228",
        "origin": "EWR",
        "dest": "IAH",
        "distance_miles": 1400,
        "scheduled_at": "2013-01-01T10:15:00Z",
        "departed_at": "2013-01-01T10:17:00Z",
        "departure_delay_minutes": 2,
    }
