"""JSON Schema (draft 7, which registries and AsyncAPI understand): a contract's events as a schema.

The schema accepts every event that the contract accepts. It cannot say everything that a contract says, so that it also
accepts some that the contract does not, such as a timestamp outside the contract's years.
"""

from typing import Any

from sluice.contracts.bounds import INT_RANGES
from sluice.contracts.model import Column, Contract
from sluice.contracts.standards.document import Document, residual, to_document
from sluice.contracts.standards.json_schema_import import (
    COLUMN,
    TIME_TEXT,
    TYPE,
    column_of,
    contract_of,
    read_schema,
    type_of,
)
from sluice.contracts.standards.patterns import to_search
from sluice.contracts.standards.tree import Node, is_required, tree
from sluice.contracts.types import DataType

Schema = dict[str, Any]
DRAFT = "http://json-schema.org/draft-07/schema#"
_NUMBER_TEXT = r"^-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,4})?$"
_TYPES: dict[str, Schema] = {
    "string": {"type": "string"},
    "boolean": {"type": "boolean"},
    **{kind: {"type": "integer", "format": kind} for kind in INT_RANGES},
    "float64": {"type": "number", "format": "double"},
    # A text, too, because many parsers read numbers as floats.
    "decimal": {"type": ["number", "string"], "pattern": _NUMBER_TEXT},
    "date": {"type": "string", "format": "date"},
    # Not of the format `time`, which has a zone.
    "time": {"type": "string", "pattern": TIME_TEXT},
    "timestamp": {"type": "string", "format": "date-time"},
    "uuid": {"type": "string", "format": "uuid"},
    "json": {},
}
"""The schema of each kind of type."""


def to_json_schema(contract: Contract) -> Schema:
    """Returns the schema of a stream's events, with what JSON Schema has no term for in keys ``x-sluice-…``."""
    document = to_document(contract)
    columns = {column["name"]: column for column in document.pop("columns")}
    schema = {
        "$schema": DRAFT,
        "title": contract.stream,
        "description": contract.description,
        **_node(tree(contract.columns), columns),
    }
    schema["type"] = "object"
    order = [found.column["name"] for found in read_schema(schema, schema, ()).fields]
    if order != list(columns):
        document["columns"] = list(columns)
    return {**schema, **_extensions(residual(document, contract_of(schema)))}


def _node(node: Node, columns: dict[str, Document]) -> Schema:
    parts = [_leaf(column, columns[column.name]) for column in node.columns]
    if node.fields:
        parts.append(_object(node, columns))
    if node.items:
        parts.append(_array(node, columns))
    return parts[0] if len(parts) == 1 else {"allOf": parts}


def _object(node: Node, columns: dict[str, Document]) -> Schema:
    schema: Schema = {"properties": {name: _node(child, columns) for name, child in node.fields.items()}}
    if required := [name for name, child in node.fields.items() if child.is_required]:
        # Only then it must be an object: in anything else, a contract finds no value, and reads null.
        schema = {"type": "object", **schema, "required": required}
    return schema


def _array(node: Node, columns: dict[str, Document]) -> Schema:
    # True accepts anything.
    items = [_node(node.items[index], columns) if index in node.items else True for index in range(max(node.items) + 1)]
    schema: Schema = {"items": items}
    if required := [index for index, child in node.items.items() if child.is_required]:
        schema = {"type": "array", **schema, "minItems": max(required) + 1}
    return schema


def _leaf(column: Column, document: Document) -> Schema:
    schema: Schema = {"type": "number"} if column.is_epoch else _type(column.data_type)
    if column.zone:
        # A text of the format date-time has a zone.
        del schema["format"]
    schema["description"] = column.description
    # JSON Schema's integers have no size. Numbers at the ends of 64 bits are more than most parsers can read.
    low, high = INT_RANGES["int32"] if column.type == "int32" else (None, None)
    for key, value in (
        ("minimum", low if column.minimum is None else column.minimum),
        ("maximum", high if column.maximum is None else column.maximum),
        ("minLength", column.min_length),
        ("maxLength", column.max_length),
        ("pattern", column.pattern and to_search(column.pattern)),
        ("enum", column.enum and list(column.enum)),
    ):
        if value is not None:
            schema[key] = value
    if not is_required(column):
        schema = _nullable(schema)
    elif column.data_type.kind == "json":
        schema["not"] = {"type": "null"}
    schema[COLUMN] = column.name
    if type_of(schema) != column.type:
        schema[TYPE] = column.type
    read = column_of(schema, column.paths[0], required=is_required(column))
    return {**schema, **_extensions(residual(document, read))}


def _type(data_type: DataType) -> Schema:
    if data_type.item:
        return {"type": "array", "items": _nullable(_type(data_type.item))}
    return dict(_TYPES[data_type.kind])


def _nullable(schema: Schema) -> Schema:
    """Returns a schema that accepts null as well."""
    result = dict(schema)
    if "type" in schema:
        types = schema["type"]
        result["type"] = [*(types if isinstance(types, list) else [types]), "null"]
    if "enum" in schema:
        result["enum"] = [*schema["enum"], None]
    return result


def _extensions(document: Document) -> Schema:
    return {f"x-sluice-{key.replace('_', '-')}": value for key, value in document.items()}
