"""Avro: a contract's events as a record, in the types that the platform's own reader turns into the contract's."""

import re
from collections.abc import Iterable
from typing import Any

from sluice.contracts.model import Column, Contract
from sluice.contracts.standards.document import Document, to_document
from sluice.contracts.standards.tree import Node, tree
from sluice.contracts.types import DataType
from sluice.errors import TerminalError

Schema = dict[str, Any]
_NAME = re.compile("[A-Za-z_][A-Za-z0-9_]*")
_TYPES: dict[str, Any] = {
    "string": "string",
    "boolean": "boolean",
    "int32": "int",
    "int64": "long",
    "float64": "double",
    "date": {"type": "int", "logicalType": "date"},
    "time": {"type": "long", "logicalType": "time-micros"},
    "timestamp": {"type": "long", "logicalType": "timestamp-micros"},
    "uuid": {"type": "string", "logicalType": "uuid"},
    # Avro has no type for any value.
    "json": "string",
}
_LOCAL = {"type": "long", "logicalType": "local-timestamp-micros"}


def to_avro(contract: Contract) -> Schema:
    """Returns the Avro schema of a stream's events, with what Avro has no term for in properties ``x-sluice-…``.

    Raises:
        TerminalError: a field's name is not one that Avro allows, or two columns have different types for one field.
    """
    document = to_document(contract)
    columns = {column["name"]: column for column in document.pop("columns")}
    namespace, _, name = contract.stream.rpartition(".")
    root = _Record(name, columns).schema(tree(contract.columns), name)
    own = {key: value for key, value in document.items() if key not in ("stream", "description")}
    return {**root, "namespace": namespace, "doc": contract.description, **_properties(own)}


class _Record:
    """Writes the records of an event: one for each place that has fields, named after its path."""

    def __init__(self, name: str, columns: dict[str, Document]) -> None:
        self._name = name
        self._columns = columns

    def schema(self, node: Node, name: str) -> Schema:
        """Returns the record of a place that has fields."""
        fields = [self._field(key, child, f"{name}_{key}") for key, child in node.fields.items()]
        return {"type": "record", "name": name, "fields": fields}

    def _field(self, name: str, node: Node, full_name: str) -> Schema:
        if not _NAME.fullmatch(name):
            raise TerminalError(
                f"{', '.join(_names(node))}: Avro has no field {name!r}: names are letters, digits and underscores",
                "read it from a field with another name, or use JSON Schema",
            )
        field: Schema = {"name": name, "type": self._type(node, full_name)}
        if not node.is_required:
            field |= {"type": ["null", field["type"]], "default": None}
        for column in node.columns:
            document = self._columns[column.name]
            own = {key: value for key, value in document.items() if key not in ("name", "description", "nullable")}
            field |= {"doc": column.description, **_properties({"column": column.name, **own})}
        return field

    def _type(self, node: Node, name: str) -> Any:
        types = [_type(column, name) for column in node.columns]
        if node.fields:
            types.append(self.schema(node, name))
        if node.items:
            items = [self._type(child, f"{name}_item") for child in node.items.values()]
            types.append({"type": "array", "items": ["null", _only(items, node)]})
        return _only(types, node)


def _only(types: list[Any], node: Node) -> Any:
    """Returns the type that all columns of a place agree on."""
    if any(other != types[0] for other in types):
        raise TerminalError(
            f"{', '.join(_names(node))}: read from one field as several types, and Avro's fields have one",
            "use JSON Schema",
        )
    return types[0]


def _names(node: Node) -> Iterable[str]:
    yield from (column.name for column in node.columns)
    for child in node.children:
        yield from _names(child)


def _type(column: Column, name: str) -> Any:
    if column.is_epoch:
        return "long"
    if column.zone:
        return _LOCAL
    if column.enum and all(_NAME.fullmatch(value) for value in column.enum):
        return {"type": "enum", "name": name, "symbols": list(column.enum)}
    return _scalar(column.data_type)


def _scalar(data_type: DataType) -> Any:
    if data_type.item:
        return {"type": "array", "items": ["null", _scalar(data_type.item)]}
    if data_type.kind == "decimal":
        numbers = {"precision": data_type.precision, "scale": data_type.scale}
        return {"type": "bytes", "logicalType": "decimal", **numbers}
    return _TYPES[data_type.kind]


def _properties(document: Document) -> Schema:
    return {f"x-sluice-{key.replace('_', '-')}": value for key, value in document.items()}
