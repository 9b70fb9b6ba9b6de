import json
from collections import Counter
from datetime import UTC, date, datetime, timedelta

import pytest

from producers.events import Event
from producers.flights.timeline import Timeline
from sluice.contracts import Contract
from sluice.errors import TerminalError

DAY = date(2013, 1, 15)


def events(timeline: Timeline, since: int | None = None) -> list[Event]:
    return [event for batch in timeline.batches(since) for event in batch]


@pytest.fixture(scope="module")
def month(january: Timeline) -> list[Event]:
    return events(january)


def test_the_year_has_every_event(year: Timeline) -> None:
    assert year.counts() == {
        "flights.arrived": 327_346,
        "flights.cancelled": 8_255,
        "flights.departed": 328_521,
        "weather.observed": 26_115,
    }
    assert len(year) == 690_237


def test_january_has_every_event_once(january: Timeline, month: list[Event]) -> None:
    assert january.counts() == Counter(event.stream for event in month)
    assert january.counts() == {
        "flights.arrived": 26_398,
        "flights.cancelled": 521,
        "flights.departed": 26_483,
        "weather.observed": 2_226,
    }
    assert len({json.loads(event.value)["event_id"] for event in month}) == len(month)


def test_all_streams_are_merged_in_event_time_order(month: list[Event]) -> None:
    times = [event.due for event in month]
    assert times == sorted(times)
    assert len({event.stream for event in month[:2_000]}) == 4


def test_key_and_timestamp_are_the_fields_named_by_the_contract(
    month: list[Event], contracts: dict[str, Contract]
) -> None:
    for event in month:
        contract, value = contracts[event.stream], json.loads(event.value)
        assert event.key.decode() == value[contract.key]
        assert event.timestamp == event.due == datetime.fromisoformat(value[contract.event_time]).timestamp() * 1_000


def test_the_same_range_yields_the_same_events(contracts: dict[str, Contract]) -> None:
    assert events(Timeline(contracts, DAY, DAY)) == events(Timeline(contracts, DAY, DAY))


def test_an_arrival_after_midnight_belongs_to_the_date_of_its_flight(contracts: dict[str, Contract]) -> None:
    """Some flights of a date land on the next one; no flight of the previous date is included."""
    produced = events(Timeline(contracts, DAY, DAY, ["flights.arrived"]))
    new_york = timedelta(hours=-5)
    values = [json.loads(event.value) for event in produced]
    local = {(datetime.fromisoformat(value["scheduled_at"]) + new_york).date() for value in values}
    assert local == {DAY}
    assert any((datetime.fromisoformat(value["landed_at"]) + new_york).date() > DAY for value in values)


def test_adjacent_ranges_add_up_to_the_whole_range(contracts: dict[str, Contract], month: list[Event]) -> None:
    halves = [
        Timeline(contracts, date(2013, 1, 1), DAY),
        Timeline(contracts, DAY + timedelta(days=1), date(2013, 1, 31)),
    ]
    assert Counter(event for half in halves for event in events(half)) == Counter(month)


def test_copies_are_distinct_flights_and_weather_is_not_copied(contracts: dict[str, Contract]) -> None:
    single, triple = Timeline(contracts, DAY, DAY), Timeline(contracts, DAY, DAY, copies=3)
    produced = events(triple)
    for stream, count in single.counts().items():
        assert triple.counts()[stream] == count * (1 if stream == "weather.observed" else 3)
    assert triple.counts() == Counter(event.stream for event in produced)
    assert len({json.loads(event.value)["event_id"] for event in produced}) == len(produced)
    originals = [event for event in produced if b"~" not in event.value]
    assert originals == events(single)
    suffixes = Counter(event.key.decode().partition("~")[2] for event in produced if event.stream == "flights.departed")
    assert set(suffixes) == {"", "1", "2"}
    assert len(set(suffixes.values())) == 1


def test_since_skips_earlier_events(contracts: dict[str, Contract]) -> None:
    timeline = Timeline(contracts, DAY, DAY)
    noon = int(datetime(2013, 1, 15, 12, tzinfo=UTC).timestamp() * 1_000)
    assert events(timeline, noon) == [event for event in events(timeline) if event.due >= noon]


def test_only_the_requested_streams_are_included(contracts: dict[str, Contract]) -> None:
    produced = events(Timeline(contracts, DAY, DAY, ["weather.observed"]))
    assert {event.stream for event in produced} == {"weather.observed"}


def test_an_unknown_stream_is_an_error_that_lists_the_known_ones(contracts: dict[str, Contract]) -> None:
    with pytest.raises(TerminalError, match=r"'trains\.departed'.*weather\.observed"):
        Timeline(contracts, DAY, DAY, ["trains.departed"])


def test_fewer_than_one_copy_is_an_error(contracts: dict[str, Contract]) -> None:
    with pytest.raises(TerminalError, match="copies: 0 is below 1"):
        Timeline(contracts, DAY, DAY, copies=0)
