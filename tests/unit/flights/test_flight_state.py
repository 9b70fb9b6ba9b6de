"""Which of several events of a flight counts, in any order of arrival."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flights.live_view.flight_state import CANCELLED, DEPARTED, FlightState, flight_state, resolve
from sluice.contracts import load_contracts
from sluice.live.view import Record
from sluice.settings import ROOT

CONTRACTS = load_contracts(ROOT / "contracts")
HOUR = datetime(2013, 1, 1, 10, tzinfo=UTC)
FLIGHT = {
    "event_id": "UA1-20130101T10/x",
    "flight_id": "UA1-20130101T10",
    "carrier": "UA",
    "flight_number": 1,
    "origin": "EWR",
    "dest": "ORD",
    "distance_miles": 719,
    "scheduled_at": "2013-01-01T10:40:00Z",
}
DEPARTURE = FLIGHT | {"departed_at": "2013-01-01T10:59:00Z", "departure_delay_minutes": 19}
AT_10_40, AT_10_59 = 1_357_036_800_000, 1_357_037_940_000


def record(stream: str, value: object, timestamp: int | None, offset: int = 7) -> Record:
    return Record(stream, "t", 1, offset, timestamp, json.dumps(value).encode())


def read(stream: str, value: object, timestamp: int | None) -> FlightState | None:
    return flight_state(CONTRACTS[stream], record(stream, value, timestamp))


def test_a_departure_counts_in_the_hour_of_departure() -> None:
    expected = FlightState("UA1-20130101T10", "EWR", HOUR, True, 19, "t", 1, 7)
    assert read(DEPARTED, DEPARTURE, AT_10_59) == expected


def test_a_cancellation_counts_in_the_hour_of_scheduled_departure() -> None:
    assert read(CANCELLED, FLIGHT, AT_10_40) == FlightState("UA1-20130101T10", "EWR", HOUR, False, None, "t", 1, 7)


def test_hours_are_utc_whatever_the_events_time_zone() -> None:
    found = read(DEPARTED, DEPARTURE | {"departed_at": "2013-01-01T06:29:00-04:30"}, AT_10_59)
    assert found is not None
    assert found.hour == HOUR


@pytest.mark.parametrize(
    "value", [DEPARTURE | {"departure_delay_minutes": "many"}, DEPARTURE | {"event_id": None}, ["an", "array"]]
)
def test_an_invalid_event_has_no_state(value: object) -> None:
    assert read(DEPARTED, value, AT_10_59) is None


@pytest.mark.parametrize("timestamp", [AT_10_59 + 3_600_000, None, 1 << 62])
def test_the_hour_is_the_events_whatever_the_records_timestamp_is(timestamp: int | None) -> None:
    assert read(DEPARTED, DEPARTURE, timestamp) == read(DEPARTED, DEPARTURE, AT_10_59)


def test_invalid_json_has_no_state() -> None:
    for value in (b"", b"\x00\xff", b'{"event_id": ', None):
        assert flight_state(CONTRACTS[DEPARTED], Record(DEPARTED, "t", 0, 0, AT_10_59, value)) is None


states = st.lists(
    st.builds(
        lambda flight, departed, delay, topic, partition, offset: FlightState(
            flight, "EWR", HOUR, departed, delay if departed else None, topic, partition, offset
        ),
        st.sampled_from("abc"),
        st.booleans(),
        st.integers(-5, 5),
        st.sampled_from("tu"),
        st.integers(0, 2),
        st.integers(0, 9),
    ),
    # An offset of a Kafka partition holds one event.
    unique_by=lambda state: (state.departed, state.topic_id, state.partition, state.offset),
)


@given(states, st.data())
def test_neither_order_nor_repetition_nor_batches_matter(reported: list[FlightState], data: st.DataObject) -> None:
    repeated = data.draw(st.lists(st.sampled_from(reported), max_size=9) if reported else st.just([]))
    remaining = data.draw(st.permutations(reported + repeated))
    resolved: list[FlightState] = []
    while remaining:
        cut = data.draw(st.integers(1, len(remaining)))
        resolved, remaining = resolve([*resolved, *resolve(remaining[:cut])]), remaining[cut:]
    assert resolved == resolve(reported)


def test_a_departure_takes_precedence_over_a_cancellation_and_the_first_of_a_kind_counts() -> None:
    def of(departed: bool, partition: int, offset: int) -> FlightState:
        return FlightState("a", "EWR", HOUR, departed, offset if departed else None, "t", partition, offset)

    assert resolve([of(False, 0, 1), of(True, 1, 9), of(True, 1, 8), of(True, 2, 0)]) == [of(True, 1, 8)]
    assert resolve([of(False, 1, 1), of(False, 0, 5)]) == [of(False, 0, 5)]
