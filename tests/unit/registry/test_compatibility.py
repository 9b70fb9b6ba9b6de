"""A registered schema is compared with the contract: a line for each column that no event can fill."""

import json
from typing import Any

import pytest

from sluice.contracts import Contract
from sluice.registry.client import Reference, RegisteredSchema
from sluice.registry.compatibility import check_compatibility


def _contract(format_name: str, *columns: dict[str, Any]) -> Contract:
    return Contract.model_validate(
        {
            "stream": "plant.readings",
            "description": "Readings.",
            "owner": "tests",
            "topic": {"partitions": 1, "retention_bytes": 1 << 20},
            "event_time": "record",
            "lateness": "1h",
            "format": format_name,
            "load": {"schedule": "* * * * *"},
            "columns": [{"name": "a", "description": "A column.", **column} for column in columns],
        }
    )


def _none(reference: Reference) -> RegisteredSchema:
    raise AssertionError(reference)


def _avro(*fields: tuple[str, Any]) -> RegisteredSchema:
    schema = {"type": "record", "name": "E", "fields": [{"name": name, "type": kind} for name, kind in fields]}
    return RegisteredSchema(json.dumps(schema))


def _logical(base: str, name: str) -> dict[str, Any]:
    return {"type": base, "logicalType": name, "precision": 9, "scale": 2}


_PLACE = {"type": "record", "name": "Place", "fields": [{"name": "code", "type": ["null", "string"]}]}


@pytest.mark.parametrize(
    ("column", "field_type"),
    [
        ({"type": "string"}, "string"),
        ({"type": "string"}, ["null", {"type": "enum", "name": "X", "symbols": ["A"]}]),
        ({"type": "boolean"}, "boolean"),
        ({"type": "int32"}, "long"),
        ({"type": "float64"}, "float"),
        ({"type": "decimal(9, 2)"}, _logical("bytes", "decimal")),
        ({"type": "date"}, _logical("int", "date")),
        ({"type": "time"}, _logical("long", "time-micros")),
        ({"type": "timestamp"}, _logical("long", "timestamp-millis")),
        ({"type": "timestamp", "format": "epoch_ms"}, "long"),
        ({"type": "timestamp", "zone": "Europe/Vienna"}, _logical("long", "local-timestamp-micros")),
        ({"type": "timestamp", "zone": "Europe/Vienna"}, _logical("int", "date")),
        ({"type": "uuid"}, _logical("string", "uuid")),
        ({"type": "json"}, {"type": "map", "values": "int"}),
        ({"type": "array(int64)"}, ["null", {"type": "array", "items": ["null", "int"]}]),
        ({"type": "string", "from": "a.code"}, ["null", _PLACE]),
        ({"type": "string", "from": "a.x"}, {"type": "map", "values": "string"}),
        ({"type": "string", "from": "a[1].code"}, {"type": "array", "items": _PLACE}),
        ({"type": "string", "from": ["b", "a"]}, "string"),
        # One of the types is enough: an event of the other one goes to quarantine.
        ({"type": "int64"}, ["string", "int"]),
    ],
)
def test_avro_types_that_can_fill_a_column(column: dict[str, Any], field_type: Any) -> None:
    assert check_compatibility(_contract("avro", column), _avro(("a", field_type)), _none) == []


@pytest.mark.parametrize(
    ("column", "field_type", "problem"),
    [
        ({"type": "string"}, "long", "a: expected string, but the schema has long"),
        ({"type": "int64"}, ["null", "string", "double"], "a: expected int64, but the schema has double or string"),
        ({"type": "boolean"}, "int", "a: expected boolean, but the schema has int"),
        (
            {"type": "timestamp"},
            _logical("long", "local-timestamp-millis"),
            "a: expected timestamp, but the schema has local-timestamp-millis",
        ),
        # The reader does not know this logical type: it returns the number.
        (
            {"type": "timestamp"},
            _logical("long", "timestamp-nanos"),
            "a: expected timestamp, but the schema has long",
        ),
        (
            {"type": "timestamp", "format": "epoch_s"},
            _logical("long", "timestamp-millis"),
            "a: expected timestamp, but the schema has timestamp-millis",
        ),
        ({"type": "array(int64)"}, "int", "a: expected array(int64), but the schema has int"),
        (
            {"type": "array(int64)"},
            {"type": "array", "items": "string"},
            "a: expected array(int64), but the schema has array",
        ),
        ({"type": "string", "from": "a.other"}, _PLACE, "a: the schema has no a.other"),
        ({"type": "json", "from": ["b", "c[0]"]}, "string", "a: the schema has no b or c[0]"),
    ],
)
def test_avro_types_that_cannot(column: dict[str, Any], field_type: Any, problem: str) -> None:
    contract = _contract("avro", column, {"name": "b2", "from": "z", "type": "string"})
    assert check_compatibility(contract, _avro(("a", field_type), ("z", "string")), _none) == [problem]


def test_types_of_a_reference_count() -> None:
    reference = Reference("Place", "place-value", 1)
    schema = RegisteredSchema(_avro(("a", "Place")).text, references=(reference,))
    contract = _contract(
        "avro", {"type": "string", "from": "a.code"}, {"name": "b", "from": "a.name", "type": "string"}
    )
    place = RegisteredSchema(json.dumps(_PLACE))
    assert check_compatibility(contract, schema, {reference: place}.__getitem__) == ["b: the schema has no a.name"]


def test_a_schema_of_another_kind_is_one_problem() -> None:
    contract = _contract("avro", {"type": "string"})
    schema = RegisteredSchema("syntax", "PROTOBUF")
    assert check_compatibility(contract, schema, _none) == ["expected an Avro schema, found one of type PROTOBUF"]


_JSON_SCHEMA = {
    "type": "object",
    "$defs": {"code": {"type": ["string", "null"]}, "loop": {"allOf": [{"$ref": "#/$defs/loop"}]}},
    "properties": {
        "code": {"$ref": "#/$defs/code"},
        "number": {"type": "number"},
        "any": {"description": "Anything."},
        "both": {"allOf": [{"minimum": 0}, {"type": "integer"}]},
        "list": {"type": "array", "items": {"type": "integer"}},
        "pair": {"type": "array", "prefixItems": [{"type": "string"}], "items": False},
        "place": {"oneOf": [{"type": "null"}, {"properties": {"code": {"type": "string"}}}]},
        "loop": {"$ref": "#/$defs/loop"},
    },
}


@pytest.mark.parametrize(
    ("column", "problem"),
    [
        ({"type": "string", "from": "code"}, None),
        ({"type": "int32", "from": "code"}, "a: expected int32, but the schema has string"),
        ({"type": "decimal(9, 2)", "from": "number"}, None),
        ({"type": "int64", "from": "number"}, None),
        ({"type": "timestamp", "from": "number"}, "a: expected timestamp, but the schema has number"),
        ({"type": "timestamp", "format": "epoch_ms", "from": "number"}, None),
        ({"type": "uuid", "from": "any"}, None),
        ({"type": "string", "from": "any.deep"}, "a: the schema has no any.deep"),
        ({"type": "int64", "from": "both"}, None),
        ({"type": "string", "from": "both"}, "a: expected string, but the schema has integer"),
        ({"type": "array(int64)", "from": "list"}, None),
        ({"type": "array(string)", "from": "list"}, "a: expected array(string), but the schema has array"),
        ({"type": "string", "from": "pair[0]"}, None),
        ({"type": "string", "from": "pair[1]"}, "a: the schema has no pair[1]"),
        ({"type": "string", "from": "place.code"}, None),
        ({"type": "string", "from": "loop"}, None),
        ({"type": "json", "from": "none"}, "a: the schema has no none"),
    ],
)
def test_json_schemas(column: dict[str, Any], problem: str | None) -> None:
    schema = RegisteredSchema(json.dumps(_JSON_SCHEMA), "JSON")
    expected = [problem] if problem else []
    assert check_compatibility(_contract("json-registry", column), schema, _none) == expected


def test_a_document_that_is_not_json_is_one_problem() -> None:
    contract = _contract("json-registry", {"type": "string"})
    (problem,) = check_compatibility(contract, RegisteredSchema("{", "JSON"), _none)
    assert "Expecting" in problem
