"""A contract that is taken over from another standard: what the standard does not say gets a default and a note."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from sluice.contracts.inference.names import column_names
from sluice.contracts.paths import Path, format_path
from sluice.contracts.standards.document import Document, complete, to_contract, to_yaml
from sluice.errors import TerminalError

_DEFAULTS: Document = {
    "owner": "unknown",
    "topic": {"partitions": 4, "retention_bytes": 1 << 30},
    "event_time": "record",
    "lateness": "48h",
    "load": {"schedule": "*/2 * * * *"},
}
_STREAM = re.compile(r"[a-z][a-z0-9]*(\.[a-z][a-z0-9]*)+")


@dataclass(frozen=True)
class Field:
    """A value of an event that the standard describes."""

    path: Path
    column: Document
    """The keys of its column that the file has; without ``name``, the path names it."""


@dataclass
class Imported:
    """The result of an import."""

    document: Document = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    """What could not be taken over, or had to be assumed: a line each."""

    def yaml(self) -> str:
        """Returns the content of the contract's file."""
        return to_yaml(self.document)


def is_stream(name: str) -> bool:
    """Returns whether a stream can have that name."""
    return bool(_STREAM.fullmatch(name))


def assemble(read: Mapping[str, Any], fields: Iterable[Field], stream: str | None, notes: Iterable[str]) -> Imported:
    """Returns the contract of what was read.

    Args:
        read: the contract's keys that the file has, without its columns.
        fields: the values of its events.
        stream: the stream's name, if it is not the file's.
        notes: what could not be taken over.

    Raises:
        TerminalError: there is no name for the stream, or something that no contract can hold.
    """
    found = list(fields)
    result = Imported(notes=list(notes))
    name = stream or str(read.get("stream") or "")
    if not is_stream(name):
        raise TerminalError(
            f"{name!r} is not a stream's name" if name else "the file does not name a stream",
            "give one with --name, in lower case with a dot, such as quakes.reported",
        )
    assumed = {"description": f"Events of {name}.", **_DEFAULTS}
    if (topic := read.get("topic")) and "partitions" not in topic:
        # The file only names it.
        assumed["topic"] = {**topic, **_DEFAULTS["topic"]}
        read = {key: value for key, value in read.items() if key != "topic"}
    result.notes += [f"{key}: not in the file, assumed {_short(assumed[key])}" for key in assumed if key not in read]
    document = {**assumed, **read, "stream": name}
    # The order of a contract's keys, as people write them.
    order = ("stream", "description", "owner", "topic", "format", "key", "id", "keep", "deletes", "event_time")
    result.document = {key: document[key] for key in dict.fromkeys((*order, *document)) if key in document}
    result.document["columns"] = _columns(found, result.notes)
    try:
        to_contract(result.document)
    except ValidationError as error:
        details = error.errors()[0]
        place = ".".join(map(str, details["loc"]))
        message = details["msg"].removeprefix("Value error, ")
        raise TerminalError(
            f"what the file says is not a valid contract: {place + ': ' if place else ''}{message}",
            "change the file, or write the contract by hand",
        ) from None
    return result


def _columns(fields: list[Field], notes: list[str]) -> list[Document]:
    unnamed = column_names([item.path for item in fields if "name" not in item.column])
    columns, undescribed = [], 0
    for item in fields:
        default: Document = {"name": item.column.get("name") or unnamed[item.path]}
        if "name" not in item.column and item.path != (default["name"],):
            default["from"] = format_path(item.path)
        if "description" not in item.column:
            undescribed += 1
            default["description"] = f"The field {format_path(item.path)}, to be described."
        columns.append(complete(default, item.column))
    if undescribed:
        notes.append(f"columns: {undescribed} without a description, which a contract needs: describe them")
    return columns


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_short(item)}" for key, item in value.items())
    return str(value)
