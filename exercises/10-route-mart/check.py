"""Grades the mart in a warehouse that was built before without it, its tests on planted rows, and its description."""

import json
from datetime import date, datetime, timedelta
from secrets import choice, randbelow, token_hex

from exercises.grading.attempt import Attempt, WrongAnswer
from exercises.grading.mart_rows import compare_rows, when
from exercises.grading.project import Build, Project, unseen_project
from exercises.grading.unseen import random_date, random_events
from producers.events import Event

MART = "agg_route_daily"
KEY = ["flight_date", "origin", "dest"]
COUNTS = ["flights", "departed", "cancelled", "aircraft"]
OTHERS = ["fct_flights", "agg_carrier_daily", "agg_airport_hourly"]
COLUMNS = [*KEY, *COUNTS, "avg_speed_mph"]
NO_TIME_TO = ("BQN", "BOS")
DAY = timedelta(days=1)
REST = 7 * DAY
"""Between the date of which nothing is late and the others: no flight is that late."""
MILLISECOND = timedelta(milliseconds=1)

_VERSIONS = "select {key}, xmin::text as version from staging.agg_route_daily where flight_date <= '{date}'"
_CONTENTS = "select count(*), sum(hashtextextended(t::text, 0)) from staging.{table} as t"
_TWICE = """
insert into staging.agg_route_daily (flight_date, origin, dest, flights, departed, cancelled, aircraft, avg_speed_mph)
select flight_date, origin, dest, flights + {more}, departed, cancelled, aircraft, avg_speed_mph
from staging.agg_route_daily
limit 1"""
_VALUE = """
update staging.agg_route_daily set {column} = {value}
where (flight_date, origin, dest) = (
    select flight_date, origin, dest from staging.agg_route_daily order by random() limit 1
)"""


def check(attempt: Attempt) -> None:
    """Builds other marts, then the mart, then the mart after new and late events."""
    files = {
        f"models/marts/{MART}.sql": attempt.query(f"{MART}.sql"),
        f"models/marts/{MART}.yml": attempt.properties(f"{MART}.yml"),
    }
    if (attempt.folder / "macros.sql").exists():
        files["macros/macros.sql"] = attempt.read("macros.sql")
    expected = f"expected_{token_hex(4)}"
    attempt.tell("filling a warehouse of the check, and building the other marts")
    with unseen_project(attempt.settings) as project:
        day = random_date()
        first, later = _events(project, day)
        project.remove(f"{MART}.sql", f"{MART}.yml")
        project.fill(first)
        project.build(*(f"+{name}" for name in OTHERS), tests=False)
        project.mark_built()
        others = _contents(project)

        solution = (attempt.reference / f"{MART}.sql").read_text()
        project.lay_over({**files, f"models/intermediate/{expected}.sql": solution})
        attempt.tell("building your mart for the first time")
        build = project.build(f"+{MART}", expected)
        _compare(project, expected, "after its first run")
        _check_descriptions(project)
        attempt.tell("planting wrong rows for your tests")
        _check_tests(project, build)

        for name, contents in _contents(project).items():
            if contents != others[name]:
                raise WrongAnswer(f"the rows of {name} have changed", "change no other model, and none of its macros")
        project.mark_built()
        versions = _versions(project, day - REST)
        attempt.tell("building it again after new and late events")
        project.fill(later)
        project.build(f"+{MART}", expected, tests=False)
        _compare(project, expected, "after new and late events", "see which dates a later run builds")
        if _versions(project, day - REST) != versions:
            raise WrongAnswer(
                f"a later run has rebuilt {day - REST}, a date without a new event",
                "rebuild stale dates only, as agg_carrier_daily does",
            )


def _events(project: Project, day: date) -> tuple[list[Event], list[Event]]:
    """Returns the events of two days without some late ones; then these, with the events of a third day.

    The first also have an earlier day, of which nothing is late. On that one, another flight of a route is cancelled.
    """
    first = random_events(project.raw.contracts, day - REST, day - REST)
    first.append(_cancelled(choice([event for event in first if event.stream == "flights.departed"])))
    later: list[Event] = []
    events = [_odd(event) for event in random_events(project.raw.contracts, day, day + 2 * DAY)]
    third = events[0].timestamp + 2 * DAY // MILLISECOND
    for event in events:
        (later if event.timestamp >= third or not randbelow(10) else first).append(event)
    return first, later


def _odd(event: Event) -> Event:
    """Returns an event as it may be elsewhere: some aircraft are unknown, and some flights have no time in the air."""
    value = json.loads(event.value)
    if value.get("flight_number", 1) % 7 == 0:
        value["tail_number"] = None
    if value.get("dest") in NO_TIME_TO and "air_time_minutes" in value:
        value["air_time_minutes"] = 0
    return event._replace(value=json.dumps(value).encode())


def _cancelled(departure: Event) -> Event:
    """Returns the cancellation of another flight of the route, whose aircraft does not take off that day."""
    value = json.loads(departure.value)
    value["flight_id"] += f"/{token_hex(4)}"
    value["event_id"] = f"{value['flight_id']}/cancelled"
    value["tail_number"] = f"X{token_hex(4)}"
    del value["departed_at"], value["departure_delay_minutes"]
    time = int(datetime.fromisoformat(value["scheduled_at"]).timestamp() * 1000)
    return Event("flights.cancelled", value["flight_id"].encode(), json.dumps(value).encode(), time, time)


def _compare(project: Project, expected: str, moment: str, hint: str = "") -> None:
    with when(moment, hint):
        compare_rows(MART, KEY, project.table(MART), project.table(expected))


def _check_descriptions(project: Project) -> None:
    node = project.node(MART)
    described = {name for name, column in node["columns"].items() if column["description"].strip()}
    for place, text in (
        (MART, node["description"].strip()),
        *((f"the column {name}", name in described) for name in COLUMNS),
    ):
        if not text:
            raise WrongAnswer(f"{place} has no description", "readers see it in the documentation of the models")


def _check_tests(project: Project, build: Build) -> None:
    tests = build.tests_of(MART)
    faults = {
        "a route has two equal rows of a date": _TWICE.format(more=0),
        "a route has two rows of a date with different counts": _TWICE.format(more=1),
        **{f"{name} is null": _VALUE.format(column=name, value="null") for name in (*KEY, *COUNTS)},
        **{f"{name} is negative": _VALUE.format(column=name, value=-1) for name in COUNTS},
    }
    for fault, statement in faults.items():
        if not project.failing(tests, MART, statement):
            raise WrongAnswer(f"no test of yours fails if {fault}", "see the project's own tests in dbt/tests/generic")


def _versions(project: Project, day: date) -> list[tuple[object, ...]]:
    """Returns the keys of the rows up to a day, each with the transaction that wrote the row."""
    rows = project.rows(_VERSIONS.format(key=", ".join(KEY), date=day)).rows
    return sorted(rows, key=str)


def _contents(project: Project) -> dict[str, object]:
    """Returns the number of rows and a checksum of each of the other marts."""
    return {name: project.rows(_CONTENTS.format(table=name)).rows for name in OTHERS}
