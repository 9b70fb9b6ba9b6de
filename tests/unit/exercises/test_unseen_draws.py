"""What a check draws tells each wrong answer from the right one, whatever is drawn."""

import json
from datetime import UTC, date, datetime
from random import Random
from types import SimpleNamespace

import pytest

from exercises.catalogue import FOLDER, load_program
from exercises.grading.attempt import WrongAnswer
from exercises.grading.unseen import random_events
from producers.events import Event
from sluice.contracts import load_contracts
from sluice.settings import ROOT

CONTRACTS = load_contracts(ROOT / "contracts")
CALM = date(2013, 10, 12)
"""No aircraft of this date's cancelled flights is known, nor of those of the next two and of the week before."""
DRAWS = range(5)


def fields(event: Event) -> dict[str, object]:
    return dict(json.loads(event.value))


def test_the_record_at_which_the_consumer_stalls_is_never_the_first_of_a_batch() -> None:
    grader = load_program(FOLDER / "04-standing-stream" / "check.py")
    for seed in range(400):
        partitions = grader._given_values(Random(seed))
        (place,) = [
            offset for values in partitions for offset, value in enumerate(values) if not grader._is_json(value)
        ]
        assert place % 50


def test_valid_messages_are_compared_before_those_that_no_version_allows() -> None:
    grader = load_program(FOLDER / "05-drifted-contract" / "check.py")
    invalid = grader.Message(b"{}", "the temperature is above 40 \N{DEGREE SIGN}C", None)
    valid = grader.Message(b"{}", "a valid message", {"temperature_c": None})
    rows = [{"_partition": 0, "_offset": offset, "temperature_c": 90.0} for offset in range(2)]
    stream = SimpleNamespace(rows=lambda: rows, quarantine=list)
    for early, late in (({(0, 0): invalid, (0, 1): valid}, {}), ({(0, 0): invalid}, {(0, 1): valid})):
        with pytest.raises(WrongAnswer, match=r"has temperature_c 90\.0 in the raw table, expected null"):
            grader._compare(stream, early, late, {})


@pytest.mark.parametrize("draw", DRAWS)
def test_the_newest_of_a_departures_observations_may_be_one_of_two_that_differ(draw: int) -> None:
    grader = load_program(FOLDER / "06-wrong-grain" / "check.py")
    events = grader._at_limits(random_events(CONTRACTS, CALM, CALM))
    observations: dict[tuple[object, int], list[object]] = {}
    for event in events:
        if event.stream == "weather.observed":
            place = fields(event)["origin"], event.timestamp
            observations.setdefault(place, []).append(fields(event)["wind_speed_mph"])
    departures = [event for event in events if event.stream == "flights.departed"]
    assert any(len(set(observations.get((fields(event)["origin"], event.timestamp), []))) > 1 for event in departures)


@pytest.mark.parametrize("draw", DRAWS)
def test_a_flight_is_cancelled_whose_aircraft_does_not_fly_the_route_that_day(draw: int) -> None:
    grader = load_program(FOLDER / "10-route-mart" / "check.py")
    project = SimpleNamespace(raw=SimpleNamespace(contracts=CONTRACTS))
    first, _ = grader._events(project, CALM)
    flown = {fields(event)["tail_number"] for event in first if event.stream == "flights.departed"}
    cancelled = [event for event in first if event.stream == "flights.cancelled"]
    assert any(tail and tail not in flown for tail in (fields(event)["tail_number"] for event in cancelled))
    for event in cancelled:
        scheduled = datetime.fromisoformat(str(fields(event)["scheduled_at"]))
        assert event.timestamp == scheduled.astimezone(UTC).timestamp() * 1000
        assert fields(event)["flight_id"] == (event.key or b"").decode()


def test_the_events_of_the_second_run_name_a_later_date_before_an_earlier_one() -> None:
    grader = load_program(FOLDER / "14-schedule-by-data" / "check.py")
    for seed in range(50):
        days = grader._shuffled(Random(seed), date(2031, 1, 1))
        assert days[4] > days[1]
        assert len(set(days)) == grader.DATES
