import json
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest

from producers.flights import source
from producers.flights.streams import KINDS, STREAMS
from producers.flights.timeline import Timeline
from producers.flights.values import json_values
from sluice.contracts import Contract


@pytest.fixture(scope="module")
def first_day() -> dict[str, pa.Table]:
    day = date(2013, 1, 1)
    return {"flights": source.flights(day, day), "weather": source.weather(day, day)}


@pytest.mark.parametrize("stream", STREAMS)
def test_fields_are_the_contract_s_columns(
    stream: str, contracts: dict[str, Contract], first_day: dict[str, pa.Table]
) -> None:
    rows = first_day[KINDS[stream].table]
    fields = KINDS[stream].fields(rows, pa.array([0] * len(rows), pa.int64()))
    assert list(fields) == [column.name for column in contracts[stream].columns]


@pytest.mark.parametrize("stream", STREAMS)
def test_no_event_has_null_where_its_contract_forbids_it_nor_leaves_its_limits(
    stream: str, contracts: dict[str, Contract], january: Timeline
) -> None:
    columns = contracts[stream].columns
    for batch in january.batches():
        for value in (json.loads(event.value) for event in batch if event.stream == stream):
            for column in columns:
                found = value[column.name]
                assert column.nullable or found is not None
                if found is not None:
                    assert column.minimum is None or found >= column.minimum
                    assert column.maximum is None or found <= column.maximum


def test_times_follow_from_scheduled_hour_delay_and_air_time(first_day: dict[str, pa.Table]) -> None:
    flights = first_day["flights"]
    kind = KINDS["flights.arrived"]
    landed = flights.filter(kind.has(flights))
    values = json_values(kind.fields(landed, pa.array([0] * len(landed), pa.int64())))
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
