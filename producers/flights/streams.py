"""The mapping from source rows to streams: which rows have an event, its time, and its fields."""

from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from producers.flights.values import time_texts

_MINUTE = 60

Fields: TypeAlias = dict[str, pa.ChunkedArray]
"""An event's fields as columns, in order."""
Copies: TypeAlias = pa.Int64Array
"""The copy number of each row: 0 for the flight itself."""


def _flight(rows: pa.Table, copies: Copies, event: str) -> Fields:
    hour = _hour(rows["time_hour"])
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
    hour = _hour(rows["time_hour"])
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


def _hour(times: pa.ChunkedArray) -> pa.ChunkedArray:
    """Returns times as ``20130131T23``."""
    text = pc.utf8_slice_codeunits(time_texts(times), 0, 13)
    return pc.replace_substring(pc.replace_substring(text, "-", ""), " ", "T")


def _later(times: pa.ChunkedArray, minutes: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.add(times, pc.cast(pc.multiply(pc.cast(minutes, pa.int64()), _MINUTE), pa.duration("s")))


def _scheduled_at(rows: pa.Table) -> pa.ChunkedArray:
    return _later(rows["time_hour"], rows["minute"])


def _departed_at(rows: pa.Table) -> pa.ChunkedArray:
    return _later(_scheduled_at(rows), rows["dep_delay"])


def _landed_at(rows: pa.Table) -> pa.ChunkedArray:
    # The source has no taxi times, so the air time is taken as the whole trip.
    return _later(_departed_at(rows), rows["air_time"])


def _time_hour(rows: pa.Table) -> pa.ChunkedArray:
    return rows["time_hour"]


def _has_time(rows: pa.Table) -> pa.ChunkedArray:
    return pc.is_valid(rows["time_hour"])


@dataclass(frozen=True)
class StreamMapping:
    """How the events of a stream are derived from the source."""

    table: str
    """The source table: ``flights`` or ``weather``."""
    event_time: Callable[[pa.Table], pa.ChunkedArray]
    """Returns the event time of every row; null where the row has no event."""
    has_event: Callable[[pa.Table], pa.ChunkedArray]
    """Returns whether each row has an event."""
    fields: Callable[[pa.Table, Copies], Fields]
    """Returns the fields of the events."""


MAPPINGS = {
    "flights.arrived": StreamMapping("flights", _landed_at, lambda rows: pc.is_valid(rows["air_time"]), _arrived),
    "flights.cancelled": StreamMapping("flights", _scheduled_at, lambda rows: pc.is_null(rows["dep_time"]), _cancelled),
    "flights.departed": StreamMapping("flights", _departed_at, lambda rows: pc.is_valid(rows["dep_time"]), _departed),
    "weather.observed": StreamMapping("weather", _time_hour, _has_time, _observed),
}

STREAMS = tuple(MAPPINGS)
"""The streams that the source provides. Events with the same time are sent in this order."""


def with_contract(contracts: Container[str]) -> tuple[str, ...]:
    """Returns the streams that have a valid contract; a contract may be removed, or not be valid for a while."""
    return tuple(stream for stream in STREAMS if stream in contracts)
