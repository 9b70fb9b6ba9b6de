"""Compares a registered schema with a contract: which columns can no event of the schema fill?"""

import json
from collections.abc import Callable, Mapping
from functools import partial

from sluice.contracts import Column, Contract, DataType
from sluice.contracts.paths import Path, format_path
from sluice.contracts.values import ContractViolationError
from sluice.registry import avro, json_types
from sluice.registry.client import Reference, RegisteredSchema

Types = frozenset[str]
_INTEGERS = frozenset({"int", "long"})
_NUMBERS = _INTEGERS | {"float", "double"}
_TIMESTAMPS = frozenset({"timestamp-millis", "timestamp-micros"})
_AVRO: Mapping[str, Types] = {
    "string": frozenset({"string", "enum", "uuid", "bytes", "fixed"}),
    "boolean": frozenset({"boolean"}),
    "int32": _INTEGERS,
    "int64": _INTEGERS,
    "float64": _NUMBERS | {"decimal"},
    "decimal": _NUMBERS | {"decimal", "string"},
    "date": frozenset({"date", "string"}),
    "time": frozenset({"time-millis", "time-micros", "string"}),
    "timestamp": _TIMESTAMPS | {"string"},
    "epoch": _NUMBERS,
    "local": _TIMESTAMPS | {"local-timestamp-millis", "local-timestamp-micros", "date", "string"},
    "uuid": frozenset({"uuid", "string"}),
    "array": frozenset({"array"}),
}
"""By kind of column, the Avro types that can fill it. A ``json`` column takes any."""
_JSON_NUMBERS = frozenset({"integer", "number"})
_JSON_STRING = frozenset({"string"})
_JSON: Mapping[str, Types] = {
    "string": _JSON_STRING,
    "boolean": frozenset({"boolean"}),
    "int32": _JSON_NUMBERS,
    "int64": _JSON_NUMBERS,
    "float64": _JSON_NUMBERS,
    "decimal": _JSON_NUMBERS | _JSON_STRING,
    "date": _JSON_STRING,
    "time": _JSON_STRING,
    "timestamp": _JSON_STRING,
    "epoch": _JSON_NUMBERS,
    "local": _JSON_STRING,
    "uuid": _JSON_STRING,
    "array": frozenset({"array"}),
}
"""The same for the types of JSON Schema."""


def check_compatibility(
    contract: Contract, schema: RegisteredSchema, resolve: Callable[[Reference], RegisteredSchema]
) -> list[str]:
    """Returns a line for each of the contract's columns that no event of the schema can fill.

    Limits are not compared. A field that may be null can fill a required column: an event without it goes to quarantine
    by itself.

    Args:
        contract: of a stream whose format is ``avro`` or ``json-registry``.
        schema: registered for its topic.
        resolve: returns the schema of a reference.
    """
    types_at: Callable[[Path], Types]
    try:
        if contract.format == "avro":
            types_at, accepted = partial(avro.types_at, *avro.parse_schema(schema, resolve)), _AVRO
        else:
            types_at, accepted = partial(json_types.types_at, json.loads(schema.text)), _JSON
    except (ContractViolationError, ValueError) as error:
        return [str(error)]
    return [problem for column in contract.columns if (problem := _problem(column, types_at, accepted))]


def _problem(column: Column, types_at: Callable[[Path], Types], accepted: Mapping[str, Types]) -> str | None:
    found = {path: types_at(path) for path in column.paths}
    if not any(found.values()):
        return f"{column.name}: the schema has no {' or '.join(map(format_path, found))}"
    if any(_fits(column, column.data_type, path, types_at, accepted) for path in found):
        return None
    types = sorted(frozenset.union(*found.values()))
    return f"{column.name}: expected {column.type}, but the schema has {' or '.join(types)}"


def _fits(
    column: Column, data_type: DataType, path: Path, types_at: Callable[[Path], Types], accepted: Mapping[str, Types]
) -> bool:
    types = types_at(path)
    if data_type.kind == "json" or json_types.ANY in types:
        return bool(types)
    if types.isdisjoint(accepted[_kind(column, data_type)]):
        return False
    return data_type.item is None or _fits(column, data_type.item, (*path, 0), types_at, accepted)


def _kind(column: Column, data_type: DataType) -> str:
    if data_type.kind != "timestamp":
        return data_type.kind
    return "epoch" if column.is_epoch else "local" if column.zone else "timestamp"
