"""Events that are on two dates: after every reload, staging and marts equal those of a full refresh."""

import json
from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sluice.settings import Settings
from sluice.warehouse import connect
from tests.fixtures.marts import FIRST, TABLES, Marts, make_marts

DAYS = [FIRST + timedelta(days=n) for n in range(3)]
STAGING = ("stg_flights_departed", "stg_weather_observed")


class Record(NamedTuple):
    """A record of both streams, at the same offset; event ids repeat."""

    event: int
    flight: int
    day: date


class Reload(NamedTuple):
    """The dates that are loaded again, and the offsets that are valid now."""

    days: frozenset[date]
    valid: frozenset[int]


days = st.sampled_from(DAYS)
records = st.lists(st.builds(Record, st.integers(0, 2), st.integers(0, 2), days), min_size=3, max_size=8)
reloads = st.lists(st.builds(Reload, st.frozensets(days, min_size=1), st.frozensets(st.integers(0, 7))), max_size=2)


@pytest.fixture(scope="module")
def marts(servers: Settings, tmp_path_factory: pytest.TempPathFactory) -> Marts:
    return make_marts(servers, tmp_path_factory.mktemp("resent"), "resent_events")


@settings(max_examples=1, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(log=records, steps=reloads)
# The survivor's date is loaded again without it; then with it, so that it moves back.
@example(
    log=[Record(0, 0, DAYS[0]), Record(0, 1, DAYS[1])],
    steps=[Reload(frozenset(DAYS[:1]), frozenset({1})), Reload(frozenset(DAYS[:1]), frozenset({0, 1}))],
)
# The survivor is gone, a later one of the same date is left, but the other date has one before that.
@example(
    log=[Record(0, 0, DAYS[0]), Record(0, 1, DAYS[1]), Record(0, 2, DAYS[0])],
    steps=[Reload(frozenset(DAYS[:1]), frozenset({1, 2}))],
)
def test_a_transform_after_a_reload_equals_a_full_refresh(marts: Marts, log: list[Record], steps: list[Reload]) -> None:
    for step in [Reload(frozenset(DAYS), frozenset(range(len(log)))), *steps]:
        reload(marts, log, step)
        marts.transform()
        assert not marts.stale_dates()
    incremental = contents(marts)
    marts.by_hand("build", "--selector", "transform", "--full-refresh")
    assert incremental == contents(marts)


def contents(marts: Marts) -> dict[str, list[str]]:
    """Returns all rows of the staging models and the marts."""
    tables = [f"staging.{table}" for table in STAGING] + [f"marts.{table}" for table in TABLES]
    query = "select cast(t as text) from {} as t order by 1"
    return {table: marts.query(query.format(table), "transformer").iloc[:, 0].tolist() for table in tables}


def reload(marts: Marts, log: list[Record], step: Reload) -> None:
    """Replaces the raw rows of some dates, as a reload does."""
    with connect(marts.settings, "loader") as loader:
        for table, rows in (("flights_departed", departures(log, step)), ("weather_observed", observations(log, step))):
            loader.execute(f"delete from raw.{table} where _event_date = any(%s)".encode(), (list(step.days),))
            loader.execute(
                f"insert into raw.{table} select * from jsonb_populate_recordset(null::raw.{table}, %s)".encode(),
                (json.dumps(list(rows)),),
            )
            loader.execute(
                "insert into ops.stale_dates (stream, event_date) select %s, unnest(%s::date[])",
                (table.replace("_", ".", 1), sorted(step.days)),
            )


def departures(log: list[Record], step: Reload) -> Iterable[dict[str, Any]]:
    for offset, record in valid(log, step):
        yield place(offset, record) | {
            "flight_id": f"flight {record.flight}",
            "carrier": "UA",
            "flight_number": 1 + record.flight,
            "origin": "EWR",
            "dest": "ORD",
            "distance_miles": 719,
            "scheduled_at": noon(record.day),
            "departed_at": noon(record.day),
            "departure_delay_minutes": 0,
        }


def observations(log: list[Record], step: Reload) -> Iterable[dict[str, Any]]:
    for offset, record in valid(log, step):
        yield place(offset, record) | {"origin": "EWR", "observed_at": noon(record.day), "temperature_f": record.flight}


def valid(log: list[Record], step: Reload) -> list[tuple[int, Record]]:
    return [(n, record) for n, record in enumerate(log) if record.day in step.days and n in step.valid]


def place(offset: int, record: Record) -> dict[str, Any]:
    return {
        "event_id": f"event {record.event}",
        "_event_date": record.day.isoformat(),
        "_topic_id": "t",
        "_partition": 0,
        "_offset": offset,
        "_timestamp": noon(record.day),
        "_loaded_at": noon(record.day),
    }


def noon(day: date) -> str:
    return f"{day}T17:00:00Z"
