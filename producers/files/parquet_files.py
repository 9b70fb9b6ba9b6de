"""Parquet files: every value is written as JSON exactly, decimals as numbers with all their digits."""

import base64
import json
import math
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from producers.files.table_records import TableRecords
from sluice.contracts.paths import Path as JsonPath


def read_parquet(path: Path) -> TableRecords:
    """Returns the rows of a Parquet file.

    Raises:
        ValueError: the file is not Parquet.
    """
    table = parquet.read_table(path, memory_map=True)
    # Python's times have microseconds, and so has the warehouse.
    schema = pa.schema([field.with_type(_microseconds(field.type)) for field in table.schema])
    table = table.cast(schema, safe=False)
    types = {path: kind for field in schema for path, kind in _decimals((field.name,), field.type)}
    return TableRecords(table, dict.fromkeys(table.column_names, json_text), types)


def json_text(value: Any) -> str:
    """Returns a value as JSON.

    Numbers have all their digits. Times are in RFC 3339, in UTC if they have a zone, binary values are in base64, and
    durations in seconds. NaN is null. Infinity, which JSON has not either, is a text.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "null"
    if isinstance(value, dict):
        return "{" + ",".join(f"{json_text(str(name))}:{json_text(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(json_text, value)) + "]"
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, bool | int | float) and math.isfinite(value):
        return json.dumps(value)
    return json.dumps(_text(value), ensure_ascii=False)


def _decimals(path: JsonPath, kind: pa.DataType) -> Iterator[tuple[JsonPath, str]]:
    """Yields where an event has decimals, or arrays of them, and their types in a contract."""
    if pa.types.is_decimal(kind):
        yield path, f"decimal({kind.precision}, {kind.scale})"
    elif pa.types.is_struct(kind):
        for field in kind:
            yield from _decimals((*path, field.name), field.type)
    elif (pa.types.is_list(kind) or pa.types.is_large_list(kind)) and pa.types.is_decimal(kind.value_type):
        for _, item in _decimals(path, kind.value_type):
            yield path, f"array({item})"


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        return (value.astimezone(UTC) if value.tzinfo else value).isoformat().replace("+00:00", "Z")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return str(value.total_seconds())
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return str(value)


def _microseconds(kind: pa.DataType) -> pa.DataType:
    """Returns a type with microseconds in place of nanoseconds, in nested types as well."""
    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        return pa.timestamp("us", kind.tz)
    if pa.types.is_time64(kind) and kind.unit == "ns":
        return pa.time64("us")
    if pa.types.is_duration(kind) and kind.unit == "ns":
        return pa.duration("us")
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        make = pa.list_ if pa.types.is_list(kind) else pa.large_list
        return make(kind.value_field.with_type(_microseconds(kind.value_type)))
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_microseconds(field.type)) for field in kind])
    return kind
