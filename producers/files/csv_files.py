"""CSV files: every field is read as text, so that no digit is lost, and written as JSON as its column's kind says."""

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from producers.files.table_records import Encode, TableRecords

_DELIMITERS = ",;\t|"
_NUMBER = r"[+-]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?"
"""No number has leading zeros: what has is a code, and so is what is beyond a float, such as 12e4567890."""
_JSON_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_ANY_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_BOOLEAN = "(?i:true|false)"
_TIMESTAMP = (
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[ Tt]([0-9]{2}:[0-9]{2})(:[0-9]{2}(?:\.[0-9]+)?)?"
    r"( ?(?:Z|z|UTC)|[+-][0-9]{2}(?::?[0-9]{2})?)?"
)
"""A timestamp as databases and spreadsheets export it."""
_DATE = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_TIME = r"[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?"
_UUID = "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_PATTERNS = (
    ("number", _NUMBER),
    ("boolean", _BOOLEAN),
    ("timestamp", _TIMESTAMP),
    *(("value", pattern) for pattern in (_DATE, _TIME, _UUID)),
)
"""The kinds of columns all of whose values match a pattern."""
_QUOTED = re.compile(r'"[^"]*"')
_NULLS = ("", "NA", "N/A", "NULL", "null", "None", "NaN", "nan")
"""Texts for null in columns of any type but strings."""


def read_csv(path: Path, kinds: Mapping[str, str]) -> TableRecords:
    """Returns the rows of a CSV file with a header line.

    Args:
        path: the file, in UTF-8, with commas, semicolons, tabs or bars between its fields.
        kinds: a key of ``_ENCODERS`` by column. A column without one is of numbers, booleans, timestamps, dates, times
            or UUIDs if all its values are, otherwise of strings.

    Raises:
        ValueError: the file is not CSV.
    """
    with path.open("rb") as file:
        header = file.readline().decode("utf-8", "replace")
    delimiter = max(_DELIMITERS, key=_QUOTED.sub("", header).count)
    parse = csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
    # The first block is read for the names alone.
    with csv.open_csv(path, parse_options=parse) as reader:
        names = reader.schema.names
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise ValueError(f"the column {repeated!r} is there twice")
    convert = csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()),
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    table = csv.read_csv(path, parse_options=parse, convert_options=convert)
    return TableRecords(table, {name: _ENCODERS[kinds.get(name) or _kind(table[name])] for name in table.column_names})


def _kind(column: pa.ChunkedArray) -> str:
    values = column.filter(pc.invert(pc.is_in(column, pa.array([None, *_NULLS], pa.string()))))
    if not len(values):
        return "string"
    for kind, pattern in _PATTERNS:
        if pc.all(pc.match_substring_regex(values, f"^{pattern}$")).as_py():
            return "string" if kind == "number" and not _are_finite(values) else kind
    return "string"


def _are_finite(numbers: pa.ChunkedArray) -> bool:
    finite: bool = pc.all(pc.is_finite(pc.cast(numbers, pa.float64()))).as_py()
    return finite


def _string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _value(text: str) -> str:
    return "null" if text in _NULLS else _string(text)


def _number(text: str) -> str:
    if _JSON_NUMBER.fullmatch(text):
        return text
    if _ANY_NUMBER.fullmatch(text):
        return format(Decimal(text), "f")
    return _value(text)


def _boolean(text: str) -> str:
    if text.lower() in ("true", "false"):
        return text.lower()
    return _value(text)


def _timestamp(text: str) -> str:
    """Returns a timestamp as RFC 3339 writes it: with a T, with seconds, and with a zone of hours and minutes."""
    match = re.fullmatch(_TIMESTAMP, text)
    if match is None:
        return _value(text)
    zone = match[4] or ""
    if zone.startswith(("+", "-")):
        zone = f"{zone[:3]}:{zone[3:].strip(':') or '00'}"
    return _string(f"{match[1]}T{match[2]}{match[3] or ':00'}{'Z' if zone.strip().isalpha() else zone}")


def _json(text: str) -> str:
    try:
        json.loads(text, parse_constant=_reject)
    except (ValueError, RecursionError):
        return _value(text)
    return text


def _reject(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


_ENCODERS: dict[str, Encode] = {
    "string": _string,
    "number": _number,
    "boolean": _boolean,
    "timestamp": _timestamp,
    "json": _json,
    "value": _value,
}
