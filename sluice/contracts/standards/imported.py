"""A contract that is taken over from another standard: what the standard does not say gets a default and a note."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from sluice.contracts.inference.names import column_names
from sluice.contracts.inference.roles import EVENT_ID
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
    """The keys of its column that the file has; without ``name``, the label or the path names it."""
    label: str = ""
    """What the file calls it, if no column can have that name and it is not the last step of the path."""

    @property
    def named_after(self) -> Path:
        """What its column is named after, if the file has no name for that."""
        return (self.label,) if self.label else self.path

    def with_name(self, name: str) -> "Field":
        """Returns the same value with a column of a name."""
        source = {} if self.path == (name,) else {"from": format_path(self.path)}
        return replace(self, column=complete({"name": name, **source}, self.column))


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


def named(fields: Iterable[Field]) -> list[Field]:
    """Returns fields whose columns have names: those without one get one in snake case, with ``from``."""
    found = list(fields)
    # First, so that another field of such a name gets another one.
    given = [(item.column["name"],) for item in found if "name" in item.column]
    paths = [item.named_after for item in found if "name" not in item.column]
    names = column_names([*given, *paths])
    if any(names.get(item.named_after) == EVENT_ID and not can_identify(item.column) for item in found):
        names = column_names([*given, *paths], avoided=(EVENT_ID,))
    return [item if "name" in item.column else item.with_name(names[item.named_after]) for item in found]


def can_identify(column: Document) -> bool:
    """Returns whether a contract's column can be its id, which one with the name ``event_id`` is by default."""
    return column.get("nullable") is False and not column["type"].startswith(("array", "json"))


def assemble(
    read: Mapping[str, Any],
    fields: Iterable[Field],
    stream: str | None,
    notes: Iterable[str],
    terms: Mapping[str, str] = MappingProxyType({}),
) -> Imported:
    """Returns the contract of what was read.

    Args:
        read: the contract's keys that the file has, without its columns.
        fields: the values of its events.
        stream: the stream's name, if it is not the file's.
        notes: what could not be taken over.
        terms: the keys that get their defaults, with a note, where no contract can hold what the file says; and what
            the file calls them.

    Raises:
        TerminalError: there is no name for the stream, or something that no contract can hold.
    """
    found = named(fields)
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
    result.document = _without_the_impossible(result.document, assumed | _DEFAULTS, terms, result.notes)
    if problem := _problem(result.document):
        raise TerminalError(
            f"what the file says is not a valid contract: {problem}",
            "change the file, or write the contract by hand",
        )
    return result


def _without_the_impossible(
    document: Document, assumed: Document, terms: Mapping[str, str], notes: list[str]
) -> Document:
    """Returns a document in which the keys that have terms have their defaults where no contract can hold theirs."""
    if not _problem(document):
        return document
    doubtful = [key for key in terms if key in document]
    kept = {key: value for key, value in document.items() if key not in doubtful}
    for key in doubtful:
        if problem := _problem({**assumed, **kept, key: document[key]}):
            notes.append(f"{terms[key]}: not taken over as {key}: {problem}")
        else:
            kept[key] = document[key]
    return {key: value for key in document if (value := kept.get(key, assumed.get(key))) is not None}


def _problem(document: Document) -> str:
    """Returns why a document is not a contract; empty if it is one."""
    try:
        to_contract(document)
    except ValidationError as error:
        details = error.errors()[0]
        place = ".".join(map(str, details["loc"]))
        return f"{place + ': ' if place else ''}{details['msg'].removeprefix('Value error, ')}"
    return ""


def _columns(fields: list[Field], notes: list[str]) -> list[Document]:
    columns, undescribed = [], 0
    for item in fields:
        default: Document = {"name": item.column["name"]}
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
