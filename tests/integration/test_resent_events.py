"""Events that are on two dates: after every reload, staging and marts equal those of a full refresh."""

import json
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from random import Random
from typing import Any, NamedTuple

import pytest

from sluice.settings import Settings
from sluice.warehouse import connect
from tests.fixtures.marts import FIRST, TABLES, Marts, make_marts

DAYS = [FIRST + timedelta(days=n) for n in range(3)]
STAGING = ("stg_flights_departed", "stg_weather_observed")
ORIGINS = ("EWR", "JFK", "LGA")


class Record(NamedTuple):
    """A record of both streams, at the same offset; event ids repeat."""

    event: int
    flight: int
    day: date


class History(NamedTuple):
    """Records that share events and flights among each other alone, and which of them are valid in each reload."""

    log: Sequence[Record]
    valid: Sequence[frozenset[int]]
    """Positions in the log. Only records of the dates that are loaded again come or go."""


# The dates that are loaded again, step by step, after all of them; the other dates' rows stay as they are built.
RELOADS = [DAYS[:1], DAYS[:1]]
FURTHER_RELOADS = 3
HISTORIES = 100
WELL_KNOWN = [
    # The survivor's date is loaded again without it; then with it, so that it moves back.
    History([Record(0, 0, DAYS[0]), Record(0, 1, DAYS[1])], [frozenset({0, 1}), frozenset({1}), frozenset({0, 1})]),
    # The survivor is gone, a later one of the same date is left, but the other date has one before that.
    History(
        [Record(0, 0, DAYS[0]), Record(0, 1, DAYS[1]), Record(0, 2, DAYS[0])],
        [frozenset({0, 1, 2}), frozenset({1, 2}), frozenset({1, 2})],
    ),
]


def histories(random: Random, steps: list[list[date]]) -> list[History]:
    """Returns histories with a set of valid records for each step."""
    return [
        *(History(known.log, [*known.valid, *known.valid[-1:] * FURTHER_RELOADS]) for known in WELL_KNOWN),
        *(history(random, steps) for _ in range(HISTORIES)),
    ]


def history(random: Random, steps: list[list[date]]) -> History:
    log = [Record(random.randrange(3), random.randrange(3), random.choice(DAYS)) for _ in range(random.randint(3, 8))]
    current = frozenset(range(len(log)))
    valid = [current]
    for days in steps[1:]:
        again = {n for n, record in enumerate(log) if record.day in days}
        current = current - again | {n for n in again if random.random() < 0.6}
        valid.append(current)
    return History(log, valid)


@pytest.fixture(scope="module")
def marts(servers: Settings, tmp_path_factory: pytest.TempPathFactory) -> Marts:
    return make_marts(servers, tmp_path_factory.mktemp("resent"), "resent_events")


def test_a_transform_after_a_reload_equals_a_full_refresh(marts: Marts, seed: int) -> None:
    random = Random(seed)
    steps = [DAYS, *RELOADS, *(random.sample(DAYS, random.choice([1, 1, 2])) for _ in range(FURTHER_RELOADS))]
    found = histories(random, steps)
    for number, days in enumerate(steps):
        reload(marts, found, number, days)
        marts.transform()
        assert not marts.stale_dates()
        for table in STAGING:
            rows = marts.query(f"select event_id, _offset from staging.{table}", "transformer")
            staged = dict(rows.itertuples(index=False))
            for n, one in enumerate(found):
                # Each history by itself: one that is wrong can be read.
                of_history = {event: staged.get(name(n, event)) for event in {record.event for record in one.log}}
                assert of_history == survivors(found, n, number), (table, one.log, one.valid[: number + 1], steps)
            assert len(rows) == len(staged)
    incremental = contents(marts)
    marts.by_hand("build", "--selector", "transform", "--full-refresh")
    assert incremental == contents(marts)


def survivors(found: list[History], n: int, step: int) -> dict[int, int | None]:
    """Returns the offset that counts for each event of a history, the lowest of the valid ones; None if none is."""
    lowest: dict[int, int | None] = {record.event: None for record in found[n].log}
    for position in sorted(found[n].valid[step], reverse=True):
        lowest[found[n].log[position].event] = offset(found, n, position)
    return lowest


def offset(found: list[History], n: int, position: int) -> int:
    return sum(len(before.log) for before in found[:n]) + position


def name(n: int, event: int) -> str:
    return f"event {event} of history {n}"


def contents(marts: Marts) -> dict[str, list[str]]:
    """Returns all rows of the staging models and the marts."""
    tables = [f"staging.{table}" for table in STAGING] + [f"marts.{table}" for table in TABLES]
    query = "select cast(t as text) from {} as t order by 1"
    return {table: marts.query(query.format(table), "transformer").iloc[:, 0].tolist() for table in tables}


def reload(marts: Marts, found: list[History], step: int, days: Sequence[date]) -> None:
    """Replaces the raw rows of some dates, as a reload does."""
    rows = [
        (n, offset(found, n, position), one.log[position])
        for n, one in enumerate(found)
        for position in sorted(one.valid[step])
        if one.log[position].day in days
    ]
    with connect(marts.settings, "loader") as loader:
        for table, made in (("flights_departed", departures(rows)), ("weather_observed", observations(rows))):
            loader.execute(f"delete from raw.{table} where _event_date = any(%s)".encode(), (list(days),))
            loader.execute(
                f"insert into raw.{table} select * from jsonb_populate_recordset(null::raw.{table}, %s)".encode(),
                (json.dumps(list(made)),),
            )
            loader.execute(
                "insert into ops.stale_dates (stream, event_date) select %s, unnest(%s::date[])",
                (table.replace("_", ".", 1), sorted(days)),
            )


Rows = Iterable[tuple[int, int, Record]]
"""Records with the number of their history and their offset."""


def departures(rows: Rows) -> Iterable[dict[str, Any]]:
    for n, at, record in rows:
        yield place(n, at, record) | {
            "flight_id": f"flight {record.flight} of history {n}",
            "carrier": "UA",
            "flight_number": 1 + record.flight,
            "origin": origin(n),
            "dest": "ORD",
            "distance_miles": 719,
            "scheduled_at": moment(n, record.day),
            "departed_at": moment(n, record.day),
            "departure_delay_minutes": 0,
        }


def observations(rows: Rows) -> Iterable[dict[str, Any]]:
    for n, at, record in rows:
        temperature = {"temperature_f": record.flight}
        yield place(n, at, record) | {"origin": origin(n), "observed_at": moment(n, record.day)} | temperature


def place(n: int, at: int, record: Record) -> dict[str, Any]:
    return {
        "event_id": name(n, record.event),
        "_event_date": record.day.isoformat(),
        "_topic_id": "t",
        "_partition": 0,
        "_offset": at,
        "_timestamp": moment(n, record.day),
        "_loaded_at": moment(n, record.day),
    }


def origin(n: int) -> str:
    return ORIGINS[n % len(ORIGINS)]


def moment(n: int, day: date) -> str:
    """Returns a time on a date, in New York as in UTC."""
    return f"{day}T{6 + n // len(ORIGINS) % 18:02}:00:00Z"
