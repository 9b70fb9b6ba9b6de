"""The marts and the live view of flights in many copies: the truth of one, as often as there are copies."""

from collections.abc import Callable
from datetime import date, timedelta

import pandas as pd

from tests.fixtures import truth

_DATES = 3
"""Dates that are compared at once: a year of copies does not fit in memory."""
_COUNTS = {
    "agg_carrier_daily": ["flights", "departed", "arrived", "cancelled"],
    "agg_airport_hourly": ["flights", "cancelled"],
    "airport_hours": ["departures", "delay_minutes", "cancellations"],
}

Query = Callable[[str], pd.DataFrame]


def assert_marts(query: Query, first: date, last: date, copies: int) -> int:
    """Asserts that the marts are exactly the flights of a range of dates, in copies; returns the number of flights."""
    rows = 0
    day = first
    while day <= last:
        end = min(day + timedelta(days=_DATES - 1), last)
        rows += _assert_dates(query, f"{day}", f"{end}", copies)
        day = end + timedelta(days=1)
    assert query("select count(*) from marts.fct_flights").iloc[0, 0] == rows
    for table, aggregate in (
        ("agg_carrier_daily", truth.carriers_daily),
        ("agg_airport_hourly", truth.airports_hourly),
    ):
        expected = len(aggregate(f"{first}", f"{last}"))
        assert query(f"select count(*) from marts.{table}").iloc[0, 0] == expected, table
    return rows


def _assert_dates(query: Query, first: str, last: str, copies: int) -> int:
    dates = f"flight_date between '{first}' and '{last}'"
    flights = _copied(truth.between(first, last), copies)
    truth.assert_equal(query(f"select * from marts.fct_flights where {dates}"), flights, ["flight_id"])
    daily = _multiplied("agg_carrier_daily", truth.carriers_daily(first, last), copies)
    truth.assert_equal(query(f"select * from marts.agg_carrier_daily where {dates}"), daily, ["flight_date", "carrier"])
    hours = _multiplied("agg_airport_hourly", truth.airports_hourly(first, last), copies)
    ends = f"'{hours['hour'].min()}' and '{hours['hour'].max()}'"
    truth.assert_equal(
        query(f"select * from marts.agg_airport_hourly where hour between {ends}"), hours, ["origin", "hour"]
    )
    return len(flights)


def assert_live(query: Query, first: date, last: date, copies: int) -> int:
    """Asserts that the live view is exactly that of the flights, in copies; returns the number of airport-hours."""
    expected = _multiplied("airport_hours", truth.airports_live(f"{first}", f"{last}"), copies)
    live = query("select * from live.airport_hours")
    truth.assert_equal(live, expected, ["origin", "hour"])
    return len(expected)


def _copied(flights: pd.DataFrame, copies: int) -> pd.DataFrame:
    return pd.concat(
        [flights, *(flights.assign(flight_id=flights["flight_id"] + f"~{copy}") for copy in range(1, copies))],
        ignore_index=True,
    )


def _multiplied(table: str, frame: pd.DataFrame, copies: int) -> pd.DataFrame:
    return frame.assign(**{name: frame[name] * copies for name in _COUNTS[table]})
