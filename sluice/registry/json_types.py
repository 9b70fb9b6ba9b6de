"""Finds the types that a JSON Schema declares for the values at a path."""

from collections.abc import Iterator
from typing import Any

from sluice.contracts.paths import Path

ANY = "any type"
"""The type of a value of which the schema says nothing."""
_MAX_DEPTH = 50
"""Nested references and alternatives that are followed: a schema may refer to itself."""


def types_at(schema: Any, path: Path) -> frozenset[str]:
    """Returns the types that a value at a path may have, without null; none if the schema does not declare the path."""
    schemas = [schema]
    for step in path:
        schemas = [child for parent in schemas for child in _children(schema, parent, step)]
    types = {kind for found in schemas for part in _parts(schema, found) for kind in _types(part)}
    # A part that names no type says nothing if another part, of the same value, names one.
    return frozenset((types - {ANY} or types) - {"null"})


def _children(root: Any, parent: Any, step: str | int) -> Iterator[Any]:
    for part in _parts(root, parent):
        if isinstance(step, str):
            if isinstance(properties := part.get("properties"), dict) and step in properties:
                yield properties[step]
            continue
        first = part.get("prefixItems", ())
        if isinstance(first, list) and step < len(first):
            yield first[step]
        elif part.get("items", False) is not False:
            yield part["items"]


def _parts(root: Any, schema: Any, depth: int = 0) -> Iterator[dict[str, Any]]:
    """Yields a schema, and those that it combines or refers to."""
    if schema is True:
        schema = {}
    if not isinstance(schema, dict) or depth > _MAX_DEPTH:
        return
    yield schema
    for key in ("allOf", "anyOf", "oneOf"):
        for part in schema.get(key, ()):
            yield from _parts(root, part, depth + 1)
    if isinstance(reference := schema.get("$ref"), str) and reference.startswith("#"):
        yield from _parts(root, _find(root, reference), depth + 1)


def _find(root: Any, reference: str) -> Any:
    """Returns what a reference within a document points to."""
    found = root
    for part in reference.removeprefix("#").split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _types(schema: dict[str, Any]) -> list[str]:
    kinds = schema.get("type", ANY)
    return kinds if isinstance(kinds, list) else [kinds]
