"""Reads JSON Schema: drafts 4 to 2020-12, as far as a contract can say the same."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sluice.contracts.bounds import INT_RANGES
from sluice.contracts.paths import Path, format_path
from sluice.contracts.standards.document import Document, complete
from sluice.contracts.standards.imported import Field, Imported, assemble, is_stream
from sluice.contracts.standards.patterns import to_whole
from sluice.contracts.types import NUMERIC_TYPES

Schema = Mapping[str, Any]
TIME_TEXT = r"^([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]+)?$"
"""The pattern of a time without a zone. The format ``time`` of JSON Schema has one."""
COLUMN = "x-sluice-column"
TYPE = "x-sluice-type"
_EXTENSION = re.compile("x-sluice-(.+)")
_FORMATS = {
    ("string", "date"): "date",
    ("string", "date-time"): "timestamp",
    ("string", "uuid"): "uuid",
    ("integer", "int32"): "int32",
}
_TYPES = {"string": "string", "boolean": "boolean", "integer": "int64", "number": "float64"}
_SIZES = {"minLength": "min_length", "maxLength": "max_length"}
_LIMITS = ("minimum", "maximum")
_SILENT = frozenset(
    {
        *("type", "format", "description", "properties", "required", "items", "prefixItems", "allOf"),
        *("$schema", "$id", "id", "$ref", "$defs", "definitions", "$comment", "title", "examples", "default"),
    }
)
"""Keywords that are taken over, or that say nothing about valid values."""
_MAX_DEPTH = 30


def from_json_schema(schema: Schema, stream: str | None) -> Imported:
    """Returns the contract of a schema. For ``stream`` and errors, see ``assemble``."""
    found = read_schema(schema, schema, ())
    read = complete(contract_of(schema), extensions(schema))
    order = {name: position for position, name in enumerate(read.pop("columns", ()))}
    fields = sorted(found.fields, key=lambda item: order.get(item.column.get("name", ""), 0))
    return assemble(read, fields, stream, found.notes)


def contract_of(schema: Schema) -> Document:
    """Returns the keys of a contract that JSON Schema has terms for."""
    read = {"stream": schema.get("title"), "description": schema.get("description")}
    return {key: text for key, text in read.items() if text and (key != "stream" or is_stream(text))}


def column_of(schema: Schema, path: Path, *, required: bool) -> Document:
    """Returns the keys of a column that JSON Schema has terms for."""
    kind = schema.get(TYPE) or type_of(schema)
    read: Document = {"type": kind}
    if name := schema.get(COLUMN):
        read["name"] = name
        if path != (name,):
            read["from"] = format_path(path)
    if required and not accepts_null(schema):
        read["nullable"] = False
    if description := schema.get("description"):
        read["description"] = description
    if str(kind).startswith(NUMERIC_TYPES):
        # The ends of a type's range are no limits of the column.
        ends = INT_RANGES.get(str(kind), (None, None))
        read |= {key: schema[key] for key, end in zip(_LIMITS, ends, strict=True) if schema.get(key, end) != end}
    if kind == "string":
        read |= {key: schema[keyword] for keyword, key in _SIZES.items() if keyword in schema}
        if isinstance(pattern := schema.get("pattern"), str) and (whole := to_whole(pattern)) is not None:
            read["pattern"] = whole
        if texts := _enum(schema):
            read["enum"] = texts
    return read


def extensions(schema: Schema) -> Document:
    """Returns the keys of a contract or a column that JSON Schema has no terms for, from ``x-sluice-…``."""
    found = ((_EXTENSION.fullmatch(key), value) for key, value in schema.items() if key != COLUMN)
    return {match[1].replace("-", "_"): value for match, value in found if match}


def accepts_null(schema: Schema) -> bool:
    """Returns whether a schema names null as one of its types, or no type at all without excluding null."""
    if "type" not in schema:
        return schema.get("not") != {"type": "null"}
    return "null" in _kinds(schema)


@dataclass
class Found:
    """The values that a schema describes."""

    fields: list[Field] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_schema(
    root: Schema, schema: Any, path: Path, *, required: bool = True, outer: tuple[Schema, ...] = ()
) -> Found:
    """Returns the values that a schema describes, and what a contract cannot say of them.

    Args:
        root: the document.
        schema: a schema within it.
        path: of the values that it describes.
        required: whether every event has such a value.
        outer: the schemas that it is inside.
    """
    found = Found()
    entered = [*outer, schema]
    for part in _parts(root, schema, found.notes, path, entered):
        children = [] if COLUMN in part or len(path) > _MAX_DEPTH else list(_children(part, required))
        for step, child, is_required in children:
            inner = read_schema(root, child, (*path, step), required=is_required, outer=tuple(entered))
            found.fields += inner.fields
            found.notes += inner.notes
        if path and not children:
            column = complete(column_of(part, path, required=required), extensions(part))
            found.fields.append(Field(path, column))
        if COLUMN not in part:
            found.notes += _not_taken_over(part, path, has_children=bool(children))
    return found


def _parts(root: Schema, schema: Any, notes: list[str], path: Path, entered: list[Schema]) -> Iterator[Document]:
    """Yields the schemas to read at a place: one, unless several columns are taken from it."""
    schema = _resolved(root, schema, notes, path, entered)
    parts = [_resolved(root, part, notes, path, entered) for part in schema.get("allOf", ())]
    own = {key: value for key, value in schema.items() if key != "allOf"}
    if any(COLUMN in part for part in parts):
        yield from parts
        return
    for part in parts:
        for key, value in part.items():
            if key == "properties":
                own["properties"] = {**own.get("properties", {}), **value}
            elif key == "required":
                own["required"] = [*own.get("required", ()), *value]
            else:
                own.setdefault(key, value)
    yield own


def _resolved(root: Schema, schema: Any, notes: list[str], path: Path, entered: list[Schema]) -> Document:
    """Returns a schema without references, and without alternatives if all but one of them is null.

    Args:
        root: the document.
        schema: a schema within it.
        notes: receives what a contract cannot say.
        path: of the values that it describes.
        entered: the schemas that it is inside, and itself; receives those that it refers to.
    """
    outer = entered[:-1]
    for _ in range(_MAX_DEPTH):
        if not isinstance(schema, Mapping):
            return {}
        own = {key: value for key, value in schema.items() if key not in ("$ref", "anyOf", "oneOf")}
        alternatives = schema.get("anyOf") or schema.get("oneOf")
        if isinstance(reference := schema.get("$ref"), str):
            target = _find(root, reference)
            if target is None:
                notes.append(f"{_place(path)}: the reference {reference} is not in the file: read as any value")
                return own
            if any(target is around for around in outer):
                notes.append(f"{_place(path)}: the reference {reference} is recursive: read as any value")
                return own
            entered.append(target)
            schema = {**target, **own}
        elif isinstance(alternatives, list):
            others = [option for option in alternatives if option != {"type": "null"}]
            if len(others) != 1 or not isinstance(others[0], Mapping):
                notes.append(f"{_place(path)}: alternatives, of which a contract has none: read as any value")
                return {key: value for key, value in own.items() if key == "description"}
            schema = {**others[0], **own}
            if len(alternatives) > 1 and "type" in schema:
                schema["type"] = [*_kinds(schema), "null"]
        else:
            return own
    notes.append(f"{_place(path)}: references that lead nowhere: read as any value")
    return {}


def _find(root: Schema, reference: str) -> Schema | None:
    if not reference.startswith("#"):
        return None
    target: Any = root
    for part in reference[1:].split("/")[1:]:
        target = target.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(target, Mapping) else None
    return target if isinstance(target, Mapping) else None


def _children(schema: Schema, required: bool) -> Iterator[tuple[str | int, Any, bool]]:
    """Yields what a schema says of the values inside: their step, schema, and whether each event has them."""
    required = required and ("type" not in schema or _kinds(schema) in (["object"], ["array"]))
    names = schema.get("required") or ()
    for name, child in (schema.get("properties") or {}).items():
        yield name, child, required and name in names
    items = schema.get("prefixItems", schema.get("items"))
    for index, child in enumerate(items if isinstance(items, list) else ()):
        if child is not True:
            yield index, child, required and schema.get("minItems", 0) > index


def _kinds(schema: Schema) -> list[str]:
    kinds = schema.get("type", [])
    return list(kinds) if isinstance(kinds, list) else [kinds]


def type_of(schema: Schema) -> str:
    """Returns the type of a column that JSON Schema has terms for; ``json`` for anything else."""
    kinds = [kind for kind in _kinds(schema) if kind != "null"]
    if len(kinds) != 1:
        return "json"
    kind = kinds[0]
    if kind == "array" and isinstance(items := schema.get("items"), Mapping):
        item = type_of(items)
        return "json" if item == "json" or item.startswith("array") else f"array({item})"
    if kind == "string" and schema.get("pattern") == TIME_TEXT:
        return "time"
    return _FORMATS.get((kind, str(schema.get("format"))), _TYPES.get(kind, "json"))


def _enum(schema: Schema) -> list[str]:
    """Returns the texts that a schema allows; none if it allows others, too."""
    values = [value for value in schema.get("enum", [schema.get("const")]) if value is not None]
    return values if all(isinstance(value, str) for value in values) else []


def _not_taken_over(schema: Schema, path: Path, *, has_children: bool) -> Iterator[str]:
    """Yields a line for each keyword that limits the valid values and that the contract does not have."""
    read = {} if has_children or not path else column_of(schema, path, required=False)
    taken: set[str] = {key for key in ("pattern", "enum") if key in read}
    if str(read.get("type")).startswith(NUMERIC_TYPES):
        taken |= set(_LIMITS)
    taken |= {keyword for keyword, key in _SIZES.items() if key in read}
    if "enum" in read:
        taken.add("const")
    if read.get("type") == "time":
        taken.add("pattern")
    if has_children:
        taken.add("minItems")
    for keyword in schema:
        if keyword not in _SILENT and keyword not in taken and not keyword.startswith("x-"):
            yield f"{_place(path)}: {keyword}: not taken over"


def _place(path: Path) -> str:
    return format_path(path) if path else "the event"
