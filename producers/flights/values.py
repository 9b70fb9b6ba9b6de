"""Columns to JSON texts, one per row, without a loop over the rows."""

import json
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

_CONTROL = "[\\x00-\\x1f]"


def json_values(fields: Mapping[str, pa.ChunkedArray]) -> list[bytes]:
    """One JSON object per row, its members in the order of ``fields``, UTF-8.

    Args:
        fields: columns of equal length: strings, numbers, booleans, and timestamps that are UTC.

    Raises:
        ValueError: a string holds a control character, which this encoder does not escape.
    """
    parts: list[object] = []
    for place, (name, column) in enumerate(fields.items()):
        parts += [("," if place else "{") + json.dumps(name) + ":", pc.fill_null(_texts(column), "null")]
    joined = pc.binary_join_element_wise(*parts, "}", "")
    texts: list[bytes] = pc.cast(joined, pa.binary()).to_pylist()
    return texts


def _texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Each value as JSON; null stays null."""
    if pa.types.is_timestamp(column.type):
        return pc.strftime(column, format='"%Y-%m-%dT%H:%M:%SZ"')
    if not pa.types.is_string(column.type):
        return pc.cast(column, pa.string())
    if pc.any(pc.match_substring_regex(column, _CONTROL)).as_py():
        raise ValueError("a control character in a string of the source")
    escaped = pc.replace_substring(pc.replace_substring(column, "\\", "\\\\"), '"', '\\"')
    return pc.binary_join_element_wise('"', escaped, '"', "")
