"""Parses JSON values into objects, and takes columns from them: for paths and types that Arrow's parser does not know.

msgspec accepts no more than JSON, and what it refuses is validated one by one. It keeps the text of each number with a
fraction or an exponent (``Raw``), and writes a document again as ``values.read_value`` does.
"""

import json
from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Raw

from sluice.contracts.paths import Path
from sluice.contracts.validation import is_too_deep
from sluice.contracts.values import JsonNumber
from sluice.load.json_values import LINE_BREAK, RowIndices, byte_view

_DECODER = msgspec.json.Decoder(float_hook=Raw)
_ENCODER = msgspec.json.Encoder()
_REFUSED = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def parse_objects(values: pa.Array) -> tuple[list[dict[str, Any]], RowIndices]:
    """Returns the objects of those values that certainly are valid ones, and their positions."""
    bounds, data = byte_view(values)
    text, ends = data[bounds[0] : bounds[-1]].tobytes(), (bounds - bounds[0]).tolist()
    objects, row_indices = [], []
    for index in range(len(values)):
        found = _parse_object(text[ends[index] : ends[index + 1]])
        if found is not None:
            objects.append(found)
            row_indices.append(index)
    return objects, np.array(row_indices, np.int64)


def _parse_object(value: bytes) -> dict[str, Any] | None:
    try:
        found = _DECODER.decode(value)
        written = _ENCODER.encode(found)
    except _REFUSED:
        return None
    # A field given twice is lost, and so are the quotes around its name.
    if type(found) is not dict or _quotes(written) != _quotes(value) or is_too_deep(value, found):
        return None
    return found


def _quotes(text: bytes) -> int:
    """Returns how many quotes there are around the names and texts of a document."""
    if b"\\" in text:
        text = text.replace(rb"\\", b"").replace(rb"\"", b"")
    return text.count(b'"')


class Objects:
    """The values of a chunk, by their paths."""

    def __init__(self, objects: list[dict[str, Any]]) -> None:
        self._found: dict[Path, list[Any]] = {(): objects}

    def first(self, paths: Iterable[Path]) -> list[Any]:
        """Returns for each object the first value at any of the paths that is not None; None if there is none."""
        first, *others = map(self._at, paths)
        for other in others:
            first = [second if value is None else value for value, second in zip(first, other, strict=True)]
        return first

    def _at(self, path: Path) -> list[Any]:
        if path not in self._found:
            parents, step = self._at(path[:-1]), path[-1]
            if isinstance(step, str):
                self._found[path] = [parent.get(step) if type(parent) is dict else None for parent in parents]
            else:
                self._found[path] = [
                    parent[step] if type(parent) is list and step < len(parent) else None for parent in parents
                ]
        return self._found[path]


def json_texts(values: list[Any]) -> pa.Array:
    """Returns values as the texts of JSON documents, without a space; null for None."""
    lines = _ENCODER.encode_lines(values)
    ends = np.flatnonzero(np.frombuffer(lines, np.uint8) == LINE_BREAK) - np.arange(len(values))
    bounds = np.concatenate([[0], ends]).astype(np.int32)
    text = lines.translate(None, b"\n")
    texts = pa.StringArray.from_buffers(len(values), pa.py_buffer(bounds), pa.py_buffer(text))
    return pc.if_else(pc.equal(texts, "null"), None, texts)


def exact_value(value: Any) -> Any:
    """Returns a value of an object as ``validation.parse`` returns it, with every number's text."""
    return json.loads(_ENCODER.encode(value), parse_float=JsonNumber)
