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
_NUMBER = r"[+-]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?"
"""No number has leading zeros: what has is a code."""
_JSON_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_ANY_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_BOOLEAN = "(?i:true|false)"
_TIMESTAMP = (
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[ Tt]([0-9]{2}:[0-9]{2})(:[0-9]{2}(?:\.[0-9]+)?)?"
    r"( ?(?:Z|z|UTC)|[+-][0-9]{2}(?::?[0-9]{2})?)?"
)
"""A timestamp as databases and spreadsheets export it."""
_QUOTED = re.compile(r'"[^"]*"')
_NULLS = ("", "NA", "N/A", "NULL", "null", "None", "NaN", "nan")
"""Texts for null in columns of any type but strings."""


def read_csv(path: Path, kinds: Mapping[str, str]) -> TableRecords:
    """Returns the rows of a CSV file with a header line.

    Args:
        path: the file, in UTF-8, with commas, semicolons, tabs or bars between its fields.
        kinds: a key of ``_ENCODERS`` by column. A column without one is of numbers, booleans or timestamps if all its
            values are, otherwise of strings.

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
    for kind, pattern in (("number", _NUMBER), ("boolean", _BOOLEAN), ("timestamp", _TIMESTAMP)):
        if pc.all(pc.match_substring_regex(values, f"^{pattern}$")).as_py():
            return kind
    return "string"


def _string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _number(text: str) -> str:
    if _JSON_NUMBER.fullmatch(text):
        return text
    if _ANY_NUMBER.fullmatch(text):
        return format(Decimal(text), "f")
    return "null" if text in _NULLS else _string(text)


def _boolean(text: str) -> str:
    if text.lower() in ("true", "false"):
        return text.lower()
    return "null" if text in _NULLS else _string(text)


def _timestamp(text: str) -> str:
    """Returns a timestamp as RFC 3339 writes it: with a T, with seconds, and with a zone of hours and minutes."""
    match = re.fullmatch(_TIMESTAMP, text)
    if match is None:
        return "null" if text in _NULLS else _string(text)
    zone = match[4] or ""
    if zone.startswith(("+", "-")):
        zone = f"{zone[:3]}:{zone[3:].strip(':') or '00'}"
    return _string(f"{match[1]}T{match[2]}{match[3] or ':00'}{'Z' if zone.strip().isalpha() else zone}")


def _json(text: str) -> str:
    try:
        json.loads(text)
    except ValueError:
        return _string(text)
    return text


_ENCODERS: dict[str, Encode] = {
    "string": _string,
    "number": _number,
    "boolean": _boolean,
    "timestamp": _timestamp,
    "json": _json,
}
