"""Rows of the lake and the warehouse as JSON, one per line, whatever they hold."""

import base64
import json
from collections.abc import Collection, Mapping
from typing import Any

from sluice.escaping import escape_json, json_line


def json_row(row: Mapping[str, Any], documents: Collection[str] = ()) -> str:
    """Returns a row as one printable line of JSON.

    Bytes become text, or ``{"base64": …}`` if they are not UTF-8; dates and times become ISO 8601.

    Args:
        row: values by column.
        documents: columns whose bytes are embedded as they are if they hold a JSON object. Parsing and writing it again
            would lose repeated fields, large numbers and what is nested too deep.
    """
    columns = (
        f"{json_line(name)}: {_document(value) if name in documents else json_line(_plain(value))}"
        for name, value in row.items()
    )
    return f"{{{', '.join(columns)}}}"


def python_value(scalar: Any) -> Any:
    """Returns an Arrow scalar's value; the number that stands for it where Python has no such date or time."""
    try:
        return scalar.as_py()
    except (OverflowError, ValueError):
        return scalar.value


def _document(value: Any) -> str:
    text = _plain(value)
    if isinstance(text, str) and text.lstrip().startswith("{"):
        try:
            # Numbers stay text: Python refuses integers of thousands of digits.
            json.loads(text, parse_int=str, parse_float=str, parse_constant=_reject)
        except (ValueError, RecursionError):
            pass
        else:
            return escape_json(text.strip())
    return json_line(text)


def _plain(value: Any) -> Any:
    """Returns a value that JSON has."""
    if not isinstance(value, bytes):
        return value if value is None or isinstance(value, int | str) else value.isoformat()
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


def _reject(constant: str) -> None:
    raise ValueError(constant)
