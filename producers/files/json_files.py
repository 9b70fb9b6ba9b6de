"""JSON files: each event keeps the text that it has in the file."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sluice.contracts.paths import Path as JsonPath

_WHITESPACE = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()
_FEATURES = "features"


class JsonRecords:
    """Events as parts of one text."""

    def __init__(self, text: str, spans: Sequence[tuple[int, int]]) -> None:
        """Takes the text, with surrogates for bytes that are not UTF-8, and each event's start and end in it."""
        self._text = text
        self._spans = spans
        self.types: Mapping[JsonPath, str] = {}

    def __len__(self) -> int:
        return len(self._spans)

    def texts(self, indices: Sequence[int]) -> list[bytes]:
        """Returns the events' bytes as they are in the file."""
        spans = (self._spans[index] for index in indices)
        return [self._text[start:end].encode("utf-8", "surrogateescape") for start, end in spans]


def read_json_lines(path: Path) -> JsonRecords:
    """Returns one event per line. Lines are not parsed: whatever a line holds can be sent. Empty lines are skipped."""
    text = _read(path)
    return JsonRecords(text, [match.span() for match in re.finditer(r"[^\r\n]*[^\s][^\r\n]*", text)])


def read_json(path: Path) -> JsonRecords:
    """Returns the items of a list, the features of a GeoJSON feature collection, or one value after the other.

    Raises:
        ValueError: the file is not JSON.
    """
    text = _read(path)
    try:
        start = _skip(text, 0)
        if text.startswith("[", start):
            spans = _items(text, start)
            return JsonRecords(text, list(spans))
        collection = _feature_collection(text, start) if text.startswith("{", start) else None
        return JsonRecords(text, list(_values(text, start)) if collection is None else collection)
    except json.JSONDecodeError as error:
        raise ValueError(f"invalid JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise ValueError("invalid JSON: nested too deep") from None


def _read(path: Path) -> str:
    return path.read_bytes().removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")


def _skip(text: str, position: int) -> int:
    match = _WHITESPACE.match(text, position)
    assert match is not None
    return match.end()


def _end(text: str, start: int) -> int:
    _, end = _DECODER.raw_decode(text, start)
    return end


def _values(text: str, position: int) -> Iterator[tuple[int, int]]:
    while position < len(text):
        end = _end(text, position)
        yield position, end
        position = _skip(text, end)


def _items(text: str, position: int) -> Iterator[tuple[int, int]]:
    """Yields the items of the list that starts at ``position``, which must be all that the text has."""
    yield from (span for _, span in _parts(text, position, "]"))


def _feature_collection(text: str, position: int) -> list[tuple[int, int]] | None:
    """Returns the features of the object at ``position``; None if it is not a feature collection."""
    try:
        members = dict(_parts(text, position, "}"))
    except json.JSONDecodeError:
        # Several values, one after the other, or an error that is found again with them.
        return None
    kind, features = members.get("type"), members.get(_FEATURES)
    if kind is None or features is None or text[slice(*kind)] != '"FeatureCollection"' or text[features[0]] != "[":
        return None
    return [span for _, span in _parts(text[: features[1]], features[0], "]")]


def _parts(text: str, position: int, close: str) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yields the members of an object with their names, or the items of a list, and where their values are.

    Raises:
        JSONDecodeError: the text has something else than the object or the list.
    """
    position = _skip(text, position + 1)
    more = not text.startswith(close, position)
    while more:
        name = ""
        if close == "}":
            name, position = _DECODER.raw_decode(text, position)
            position = _skip(text, position)
            if not text.startswith(":", position):
                raise json.JSONDecodeError("Expecting ':' delimiter", text, position)
            position = _skip(text, position + 1)
        end = _end(text, position)
        yield name, (position, end)
        position = _skip(text, end)
        more = text.startswith(",", position)
        if more:
            position = _skip(text, position + 1)
    if not text.startswith(close, position):
        raise json.JSONDecodeError("Expecting ',' delimiter", text, position)
    position = _skip(text, position + 1)
    if position < len(text):
        raise json.JSONDecodeError("Extra data", text, position)
