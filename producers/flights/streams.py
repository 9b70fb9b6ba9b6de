"""What the source's rows say in each stream: which rows have an event, when it happened, and its fields."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

_MINUTE = 60

Fields: TypeAlias = dict[str, pa.ChunkedArray]
"""An event's fields in their order, as columns."""
Copies: TypeAlias = pa.Int64Array
"""Per row, which of its copies: 0 for the flight itself."""


def _flight(rows: pa.Table, copies: Copies, event: str) -> Fields:
    hour = pc.strftime(rows["time_hour"], format="%Y%m%dT%H")
    number = pc.cast(rows["flight"], pa.string())
    suffix = pc.if_else(pc.equal(copies, 0), "", pc.binary_join_element_wise("~", pc.cast(copies, pa.string()), ""))
    flight_id = pc.binary_join_element_wise(rows["carrier"], number, "-", hour, suffix, "")
    return {
        "event_id": pc.binary_join_element_wise(flight_id, f"/{event}", ""),
        "flight_id": flight_id,
        "carrier": rows["carrier"],
        "flight_number": rows["flight"],
        "tail_number": rows["tailnum"],
        "origin": rows["origin"],
        "dest": rows["dest"],
        "distance_miles": rows["distance"],
        "scheduled_at": _scheduled_at(rows),
    }


def _departed(rows: pa.Table, copies: Copies) -> Fields:
    return _flight(rows, copies, "departed") | {
        "departed_at": _departed_at(rows),
        "departure_delay_minutes": rows["dep_delay"],
    }


def _arrived(rows: pa.Table, copies: Copies) -> Fields:
    return _flight(rows, copies, "arrived") | {
        "landed_at": _landed_at(rows),
        "arrival_delay_minutes": rows["arr_delay"],
        "air_time_minutes": rows["air_time"],
    }


def _cancelled(rows: pa.Table, copies: Copies) -> Fields:
    return _flight(rows, copies, "cancelled")


def _observed(rows: pa.Table, _: Copies) -> Fields:
    hour = pc.strftime(rows["time_hour"], format="%Y%m%dT%H")
    return {
        "event_id": pc.binary_join_element_wise(rows["origin"], "-", hour, "/observed", ""),
        "origin": rows["origin"],
        "observed_at": rows["time_hour"],
        "temperature_f": rows["temp"],
        "dew_point_f": rows["dewp"],
        "humidity_percent": rows["humid"],
        "wind_direction_degrees": rows["wind_dir"],
        "wind_speed_mph": rows["wind_speed"],
        "wind_gust_mph": rows["wind_gust"],
        "precipitation_in": rows["precip"],
        "pressure_millibars": rows["pressure"],
        "visibility_miles": rows["visib"],
    }


def _later(times: pa.ChunkedArray, minutes: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.add(times, pc.cast(pc.multiply(pc.cast(minutes, pa.int64()), _MINUTE), pa.duration("s")))


def _scheduled_at(rows: pa.Table) -> pa.ChunkedArray:
    return _later(rows["time_hour"], rows["minute"])


def _departed_at(rows: pa.Table) -> pa.ChunkedArray:
    return _later(_scheduled_at(rows), rows["dep_delay"])


def _landed_at(rows: pa.Table) -> pa.ChunkedArray:
    # The source has no taxi time: time in the air stands for the whole way.
    return _later(_departed_at(rows), rows["air_time"])


def _time_hour(rows: pa.Table) -> pa.ChunkedArray:
    return rows["time_hour"]


def _every(rows: pa.Table) -> pa.ChunkedArray:
    return pc.is_valid(rows["time_hour"])


@dataclass(frozen=True)
class Kind:
    """How a stream's events come out of the source."""

    table: str
    when: Callable[[pa.Table], pa.ChunkedArray]
    """The event time of every row; null where the row has no such event."""
    has: Callable[[pa.Table], pa.ChunkedArray]
    """Whether the row has such an event."""
    fields: Callable[[pa.Table, Copies], Fields]


KINDS = {
    "flights.arrived": Kind("flights", _landed_at, lambda rows: pc.is_valid(rows["air_time"]), _arrived),
    "flights.cancelled": Kind("flights", _scheduled_at, lambda rows: pc.is_null(rows["dep_time"]), _cancelled),
    "flights.departed": Kind("flights", _departed_at, lambda rows: pc.is_valid(rows["dep_time"]), _departed),
    "weather.observed": Kind("weather", _time_hour, _every, _observed),
}

STREAMS = tuple(KINDS)
"""The streams that the source can give, in the order that settles ties of time."""
