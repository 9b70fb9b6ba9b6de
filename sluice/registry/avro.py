"""Reads Avro: events in binary form, with the schema that they were written with."""

import base64
import io
import json
import math
from collections.abc import Callable, Iterator
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import fastavro
from fastavro.read import LOGICAL_READERS
from fastavro.schema import SchemaParseException
from fastavro.types import Schema

from sluice.contracts.paths import Path
from sluice.contracts.values import ContractViolationError
from sluice.escaping import escape, shorten
from sluice.registry.client import Reference, RegisteredSchema

NamedTypes = dict[str, dict[str, Any]]
_MAX_SHOWN = 120
_REASONS: dict[type[Exception], str] = {
    EOFError: "too short",
    UnicodeDecodeError: "a string is not UTF-8",
    OverflowError: "a date is outside the calendar",
    IndexError: "a union or an enum has no such member",
}


class _InexactError(ValueError):
    """The encoder cannot write a value, such as a decimal. It raises a ValueError itself for ``NaN``."""


def parse_schema(
    schema: RegisteredSchema, resolve: Callable[[Reference], RegisteredSchema]
) -> tuple[Schema, NamedTypes]:
    """Parses a schema and those that it refers to.

    Args:
        schema: the schema.
        resolve: returns the schema of a reference.

    Returns:
        The parsed schema, and the types that it uses by name.

    Raises:
        ContractViolationError: it is not a valid Avro schema, or not one whose events can be read safely.
    """
    if schema.kind != "AVRO":
        raise ContractViolationError(f"expected an Avro schema, found one of type {schema.kind}")
    named: NamedTypes = {}
    try:
        for text in _texts(schema, resolve, set()):
            parsed = fastavro.parse_schema(json.loads(text), named_schemas=named, _write_hint=False)
        _Sizes(named).smallest(parsed)
        # The reader does not know the types of references. A schema that was parsed is not parsed again for each event.
        return fastavro.parse_schema(_inlined(parsed, named, set())), named
    except (ValueError, KeyError, TypeError, RecursionError, SchemaParseException) as error:
        detail = shorten(escape(str(error)), _MAX_SHOWN)
        raise ContractViolationError(f"not an Avro schema that can be read: {detail}") from None


def read(schema: Schema, body: bytes) -> bytes:
    """Returns a record as JSON.

    Decimals are numbers with all their digits. Timestamps, dates, times and UUIDs become texts in ISO 8601's form,
    bytes become Base64, and ``NaN`` and infinities, which JSON does not have, become their names.

    Raises:
        ContractViolationError: the bytes are not a record of the schema.
    """
    stream = io.BytesIO(body)
    try:
        record = fastavro.schemaless_reader(stream, schema, None)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - bytes that are not of this schema may fail in any way.
        reason = _REASONS.get(type(error), f"a value cannot be read ({type(error).__name__})")
        raise ContractViolationError(f"not an event of its schema: {reason}") from None
    if stream.tell() != len(body):
        raise ContractViolationError("not an event of its schema: too long")
    try:
        return _ENCODER.encode(record).encode()
    except ValueError:
        return _exact_json(record).encode()


def types_at(schema: Schema, named: NamedTypes, path: Path) -> frozenset[str]:
    """Returns the types that a value at a path may have, without null; none if no event has a value there.

    A type that the reader converts has the name of its logical type.
    """
    schemas = list(_branches(schema, named))
    for step in path:
        children = (_child(parent, step) for parent in schemas)
        schemas = [branch for child in children if child is not None for branch in _branches(child, named)]
    return frozenset(_type_name(found) for found in schemas) - {"null"}


def _branches(schema: Any, named: NamedTypes) -> Iterator[dict[str, Any]]:
    """Yields the types that a union consists of, with definitions in place of names."""
    if isinstance(schema, list):
        for branch in schema:
            yield from _branches(branch, named)
    elif isinstance(schema, str):
        yield named.get(schema, {"type": schema})
    else:
        yield schema


def _child(schema: dict[str, Any], step: str | int) -> Any:
    match schema["type"], step:
        case "record", str():
            return next((field["type"] for field in schema["fields"] if field["name"] == step), None)
        case "map", str():
            return schema["values"]
        case "array", int():
            return schema["items"]
    return None


def _type_name(schema: dict[str, Any]) -> str:
    logical = f"{schema['type']}-{schema.get('logicalType')}"
    return str(schema["logicalType"] if logical in LOGICAL_READERS else schema["type"])


def _texts(schema: RegisteredSchema, resolve: Callable[[Reference], RegisteredSchema], seen: set[str]) -> Iterator[str]:
    """Yields a schema's text after those of its references, each once."""
    for reference in schema.references:
        if reference.name not in seen:
            seen.add(reference.name)
            yield from _texts(resolve(reference), resolve, seen)
    yield schema.text


def _inlined(schema: Any, named: NamedTypes, defined: set[str]) -> Any:
    """Returns a schema in which each named type is defined where it is first used."""
    if isinstance(schema, list):
        return [_inlined(branch, named, defined) for branch in schema]
    if isinstance(schema, str):
        return schema if schema in defined or schema not in named else _inlined(named[schema], named, defined)
    if "name" in schema:
        defined.add(schema["name"])
    inlined = {key: _inlined(schema[key], named, defined) for key in ("items", "values") if key in schema}
    if "fields" in schema:
        fields = [{**field, "type": _inlined(field["type"], named, defined)} for field in schema["fields"]]
        inlined["fields"] = fields
    return {**schema, **inlined}


class _Sizes:
    """Finds schemas with which a few bytes could crash the reader or fill the memory.

    The reader recurses without a limit, and an array of items that take no bytes can have any length.
    """

    def __init__(self, named: NamedTypes) -> None:
        self._named = named
        self._open: set[str] = set()
        self._known: dict[str, int] = {}

    def smallest(self, schema: Any) -> int:
        """Returns a lower bound for the bytes of a value; raises ValueError for a schema that is not safe."""
        if isinstance(schema, list):
            return 1 + min(self.smallest(branch) for branch in schema)
        if isinstance(schema, str):
            return self._named_type(schema) if schema in self._named else int(schema != "null")
        match schema["type"]:
            case "record" | "error" | "enum" | "fixed":
                return self._named_type(schema["name"])
            case "array":
                if not self.smallest(schema["items"]):
                    raise ValueError("arrays of items that take no bytes are not supported")
                return 1
            case "map":
                self.smallest(schema["values"])
                return 1
        return self.smallest(schema["type"])

    def _named_type(self, name: str) -> int:
        if name in self._open:
            raise ValueError(f"{name}: recursive types are not supported")
        if name not in self._known:
            definition = self._named[name]
            self._open.add(name)
            fields = definition.get("fields", ())
            size = definition.get("size", int(definition["type"] == "enum"))
            self._known[name] = size + sum(self.smallest(field["type"]) for field in fields)
            self._open.remove(name)
        return self._known[name]


def _text(value: Any) -> str:
    """Returns the text of a value that JSON has no type for."""
    match value:
        case datetime() | date() | time():
            return value.isoformat()
        case bytes():
            return base64.b64encode(value).decode()
        case UUID():
            return str(value)
    raise _InexactError


def _exact_json(value: Any) -> str:
    """Returns a value as JSON, with what the encoder of the standard library does not write: decimals, NaN."""
    match value:
        case dict():
            return "{" + ",".join(f"{json.dumps(name)}:{_exact_json(item)}" for name, item in value.items()) + "}"
        case list():
            return "[" + ",".join(map(_exact_json, value)) + "]"
        case Decimal():
            return f"{value:f}"
        case float() if not math.isfinite(value):
            return f'"{value}"'
    return json.dumps(value, default=_text)


_ENCODER = json.JSONEncoder(default=_text, allow_nan=False, separators=(",", ":"))
