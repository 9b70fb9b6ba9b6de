"""Grades the mart on days with irregular weather, and its tests on the rows of the model as it was."""

import json
from datetime import UTC, datetime
from secrets import choice, randbelow, token_hex

from exercises.grading.attempt import Attempt, WrongAnswer
from exercises.grading.mart_rows import compare_rows
from exercises.grading.project import unseen_project
from exercises.grading.unseen import random_date, random_events
from producers.events import Event

MART = "fct_departure_weather"
MINUTE = 60_000
LIMIT = 120 * MINUTE
"""The age from which an observation does not count, in milliseconds."""

_DOUBLED = """
insert into staging.fct_departure_weather (
    flight_id, flight_date, origin, departed_at, departure_delay_minutes,
    observed_at, wind_speed_mph, visibility_miles
)
select
    flight_id, flight_date, origin, departed_at, departure_delay_minutes,
    observed_at, wind_speed_mph, visibility_miles
from staging.{source}
limit {limit}"""
_OTHER_WEATHER = """
insert into staging.fct_departure_weather (
    flight_id, flight_date, origin, departed_at, departure_delay_minutes,
    observed_at, wind_speed_mph, visibility_miles
)
select
    flight_id, flight_date, origin, departed_at, departure_delay_minutes,
    coalesce(observed_at, departed_at) - interval '1 minute', 99, 9
from staging.fct_departure_weather
limit 1"""


def check(attempt: Attempt) -> None:
    """Builds the mart, compares its rows with those of the solution, and plants wrong rows for the learner's tests."""
    expected, as_it_was = f"expected_{token_hex(4)}", f"as_it_was_{token_hex(4)}"
    files = {
        f"models/marts/{MART}.sql": attempt.query(f"{MART}.sql"),
        f"models/marts/{MART}.yml": attempt.properties(f"{MART}.yml"),
        f"models/intermediate/{expected}.sql": (attempt.reference / f"{MART}.sql").read_text(),
        f"models/intermediate/{as_it_was}.sql": (attempt.reference.parent / "answer" / f"{MART}.sql").read_text(),
    }
    attempt.tell("filling a warehouse of the check with events")
    with unseen_project(attempt.settings) as project:
        project.lay_over(files)
        day = random_date()
        project.fill(_at_limits(_irregular(random_events(project.raw.contracts, day, day))))
        attempt.tell("building the mart")
        build = project.build(f"+{MART}", expected, as_it_was)
        compare_rows(MART, ["flight_id"], project.table(MART), project.table(expected))
        tests = build.tests_of(MART)
        attempt.tell("planting wrong rows for your tests")
        broken = _DOUBLED.format(source=as_it_was, limit="all")
        faults = {
            "the mart has the rows of the model as it was": [f"truncate staging.{MART}", broken],
            "a departure has two equal rows": [_DOUBLED.format(source=MART, limit=1)],
            "a departure has two rows with different weather": [_OTHER_WEATHER],
        }
        for fault, statements in faults.items():
            if not project.failing(tests, MART, *statements):
                raise WrongAnswer(f"no test of yours fails when {fault}", "think of what identifies a row of the mart")


def _irregular(events: list[Event]) -> list[Event]:
    """Returns the events with hours that lack an observation, and hours that have several."""
    changed = []
    for event in events:
        if event.stream != "weather.observed":
            changed.append(event)
        elif randbelow(3):
            changed += [event, *(_observation(event, randbelow(60)) for _ in range(randbelow(3)))]
            if not randbelow(4):
                # Another one of the same time.
                changed.append(_observation(event, 0))
    return changed


def _at_limits(events: list[Event]) -> list[Event]:
    """Returns the events with two observations at the minute of a departure, and one two hours before another one.

    The two differ in their wind. The other departure has no newer observation.
    """
    departures = [event for event in events if event.stream == "flights.departed"]
    weather = [event for event in events if event.stream == "weather.observed"]
    old = choice(departures)
    known = choice([event for event in departures if _origin(event) != _origin(old)])
    kept = [
        event
        for event in events
        if event.stream != "weather.observed"
        or _origin(event) != _origin(old)
        or not old.timestamp - LIMIT < event.timestamp <= old.timestamp
    ]
    limits = ((known, known.timestamp, 60), (known, known.timestamp, 70), (old, old.timestamp - LIMIT, None))
    return kept + [
        _observation(event, (time - event.timestamp) // MINUTE, wind)
        for departure, time, wind in limits
        for event in [next(event for event in weather if _origin(event) == _origin(departure))]
    ]


def _origin(event: Event) -> str:
    return str(json.loads(event.value)["origin"])


def _observation(event: Event, minutes: int, wind: int | None = None) -> Event:
    """Returns another observation of the airport, some minutes later, with a wind speed, by default a random one."""
    value = json.loads(event.value)
    time = event.timestamp + minutes * MINUTE
    value["event_id"] += f"/{token_hex(4)}"
    value["observed_at"] = datetime.fromtimestamp(time / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    value["wind_speed_mph"], value["visibility_miles"] = randbelow(60) if wind is None else wind, randbelow(10)
    return event._replace(value=json.dumps(value).encode(), timestamp=time, due=time)
