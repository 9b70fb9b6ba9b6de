"""Encoding of columns as JSON, one object per row, without a loop over the rows."""

import json
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

_CONTROL = "[\\x00-\\x1f]"


def json_values(fields: Mapping[str, pa.ChunkedArray]) -> list[bytes]:
    """Returns one JSON object per row as UTF-8, with its members in the order of ``fields``.

    Args:
        fields: columns of equal length: strings, numbers, booleans, and timestamps in UTC.

    Raises:
        ValueError: a string contains a control character, which this encoder does not escape.
    """
    parts: list[object] = []
    for index, (name, column) in enumerate(fields.items()):
        parts += [("," if index else "{") + json.dumps(name) + ":", pc.fill_null(_encode(column), "null")]
    joined = pc.binary_join_element_wise(*parts, "}", "")
    values: list[bytes] = pc.cast(joined, pa.binary()).to_pylist()
    return values


def time_texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Returns times in UTC as ``2013-01-31 23:59:00``; null stays null. A tenth of the cost of ``strftime``."""
    return pc.cast(pc.cast(column, pa.timestamp("s")), pa.string())


def _encode(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Returns each value as JSON; null stays null."""
    if pa.types.is_timestamp(column.type):
        return pc.binary_join_element_wise('"', pc.binary_replace_slice(time_texts(column), 10, 11, "T"), 'Z"', "")
    if not pa.types.is_string(column.type):
        return pc.cast(column, pa.string())
    if pc.any(pc.match_substring_regex(column, _CONTROL)).as_py():
        raise ValueError("a string of the source contains a control character")
    escaped = pc.replace_substring(pc.replace_substring(column, "\\", "\\\\"), '"', '\\"')
    return pc.binary_join_element_wise('"', escaped, '"', "")
