"""Documents that other tools wrote become contracts, and whatever a contract cannot say is named."""

import json
from typing import Any

import pytest

from sluice.contracts import Contract
from sluice.contracts.paths import format_path
from sluice.contracts.standards import import_contract
from sluice.contracts.standards.document import to_contract
from sluice.errors import TerminalError

QUAKE = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Earthquake",
    "description": "A quake, as USGS reports it.",
    "type": "object",
    "additionalProperties": False,
    "required": ["id", "properties", "Time"],
    "$defs": {
        "Place": {"type": "object", "properties": {"countryCode": {"type": "string", "pattern": "^[A-Z]{2}"}}},
        "Loop": {"$ref": "#/$defs/Loop"},
    },
    "properties": {
        "id": {"type": "string", "format": "uuid", "description": "The id."},
        "Time": {"type": "string", "format": "date-time"},
        "properties": {
            "type": "object",
            "required": ["mag", "nst"],
            "properties": {
                "mag": {"type": ["number", "null"], "exclusiveMinimum": -5, "maximum": 10},
                "nst": {"type": "integer", "minimum": 0, "multipleOf": 2},
                "status": {"enum": ["automatic", "reviewed"], "type": "string"},
                "alert": {"const": "green", "type": "string"},
                "kind": {"enum": [1, "a"]},
                "day": {"type": "string", "format": "date"},
            },
        },
        "place": {"$ref": "#/$defs/Place"},
        "loop": {"$ref": "#/$defs/Loop"},
        "elsewhere": {"$ref": "other.json#/x"},
        "tags": {"type": "array", "items": {"type": "string"}, "minItems": 1},
        "events": {"type": "array", "items": {"type": "object"}},
        "point": {"type": "array", "prefixItems": [{"type": "number"}, {"type": "number"}]},
        "maybe": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "either": {"oneOf": [{"type": "integer"}, {"type": "string"}]},
        "both": {"allOf": [{"type": "string"}, {"maxLength": 5}]},
        "ip": {"type": "string", "format": "ipv4", "minLength": 7},
    },
}


def _columns(contract: Contract) -> dict[str, tuple[Any, ...]]:
    return {column.name: (column.type, column.nullable, *(column.sources or ())) for column in contract.columns}


def test_a_json_schema_becomes_a_contract_with_nested_fields_as_columns() -> None:
    imported = import_contract(json.dumps(QUAKE), "quakes.reported")
    contract = to_contract(imported.document)
    assert _columns(contract) == {
        "id": ("uuid", False),
        "time": ("timestamp", False, "Time"),
        "mag": ("float64", True, "properties.mag"),
        "nst": ("int64", False, "properties.nst"),
        "status": ("string", True, "properties.status"),
        "alert": ("string", True, "properties.alert"),
        "kind": ("json", True, "properties.kind"),
        "day": ("date", True, "properties.day"),
        "country_code": ("string", True, "place.countryCode"),
        "loop": ("json", True),
        "elsewhere": ("json", True),
        "tags": ("array(string)", True),
        "events": ("json", True),
        "point_0": ("float64", True, "point[0]"),
        "point_1": ("float64", True, "point[1]"),
        "maybe": ("int64", True),
        "either": ("json", True),
        "both_value": ("string", True, "both"),
        "ip": ("string", True),
    }
    by_name = {column.name: column for column in contract.columns}
    assert (by_name["mag"].minimum, by_name["mag"].maximum) == (None, 10)
    assert by_name["status"].enum == ("automatic", "reviewed")
    assert by_name["alert"].enum == ("green",)
    assert by_name["both_value"].max_length == 5
    assert by_name["ip"].min_length == 7
    assert by_name["country_code"].pattern == "(?s:.*)(?:^[A-Z]{2})(?s:.*)"
    assert by_name["id"].description == "The id."
    assert sorted(imported.notes) == [
        "columns: 18 without a description, which a contract needs: describe them",
        "either: alternatives, of which a contract has none: read as any value",
        "elsewhere: the reference other.json#/x is not in the file: read as any value",
        "event_time: not in the file, assumed record",
        "lateness: not in the file, assumed 48h",
        "load: not in the file, assumed schedule */2 * * * *",
        "loop: references that lead nowhere: read as any value",
        "owner: not in the file, assumed unknown",
        "properties.kind: enum: not taken over",
        "properties.mag: exclusiveMinimum: not taken over",
        "properties.nst: multipleOf: not taken over",
        "tags: minItems: not taken over",
        "the event: additionalProperties: not taken over",
        "topic: not in the file, assumed partitions 4, retention_bytes 1073741824",
    ]


ODCS = """\
apiVersion: v3.0.2
kind: DataContract
id: 53581432-6c55-4ba2-a65f-72344a91553a
name: orders
version: 2.1.0
status: active
price: {priceAmount: 9.95}
description: {purpose: Orders of the shop.}
team:
  - username: ada
servers:
  - {server: production, type: kafka, host: broker:9092}
schema:
  - name: orders
    physicalName: shop-orders
    physicalType: topic
    properties:
      - {name: order_id, logicalType: string, physicalType: VARCHAR(36), required: true, primaryKey: true,
         logicalTypeOptions: {format: uuid}}
      - {name: amount, logicalType: number, logicalTypeOptions: {minimum: 0, exclusiveMaximum: 100}}
      - {name: quantity, logicalType: integer, unique: true, logicalTypeOptions: {format: i32}}
      - {name: at, logicalType: timestamp, required: true, physicalName: orderTimestamp}
      - {name: lines, logicalType: array, items: {logicalType: object, properties: [{name: sku, logicalType: string}]}}
      - {name: tags, logicalType: array, items: {logicalType: string}}
      - name: customer
        logicalType: object
        required: true
        properties:
          - {name: lastName, logicalType: string, required: true, logicalTypeOptions: {maxLength: 50}}
          - {name: id, logicalType: integer}
  - name: refunds
slaProperties:
  - {property: latency, value: 3, unit: d, element: orders.at}
"""


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        ("logicalType: number, physicalType: 'NUMERIC(18,4)'", "decimal(18, 4)"),
        ("logicalType: number, physicalType: 'number(38)'", "decimal(38, 0)"),
        ("logicalType: number, physicalType: NUMERIC", "float64"),
        ("logicalType: number, physicalType: 'NUMERIC(4,18)'", "float64"),
        ("logicalType: number, physicalType: 'DECIMAL(18,4)', logicalTypeOptions: {format: f64}", "float64"),
        ("logicalType: number, physicalType: DOUBLE PRECISION", "float64"),
        ("logicalType: integer, physicalType: 'NUMERIC(10,0)'", "int64"),
        ("logicalType: string, physicalType: 'NUMERIC(10,2)'", "string"),
        ("physicalType: 'VARCHAR(20)'", "string"),
        ("physicalType: timestamp with time zone", "timestamp"),
        ("physicalType: BIGINT", "int64"),
        ("physicalType: jsonb", "json"),
        ("physicalType: geometry", "json"),
        ("description: Something.", "json"),
    ],
)
def test_a_databases_type_counts_where_the_logical_type_does_not_say_enough(types: str, expected: str) -> None:
    given = "{name: amount, logicalType: number, logicalTypeOptions: {minimum: 0, exclusiveMaximum: 100}}"
    assert given in ODCS
    contract = to_contract(import_contract(ODCS.replace(given, f"{{name: amount, {types}}}"), "shop.orders").document)
    assert str(next(column for column in contract.columns if column.name == "amount").data_type) == expected


def test_an_odcs_contract_of_another_tool_becomes_a_contract() -> None:
    imported = import_contract(ODCS, "shop.orders")
    contract = to_contract(imported.document)
    assert _columns(contract) == {
        "order_id": ("uuid", False),
        "amount": ("float64", True),
        "quantity": ("int32", True),
        "at": ("timestamp", False, "orderTimestamp"),
        "lines": ("json", True),
        "tags": ("array(string)", True),
        "last_name": ("string", False, "customer.lastName"),
        "id": ("int64", True, "customer.id"),
    }
    assert (contract.description, contract.topic.name, contract.id) == (
        "Orders of the shop.",
        "shop-orders",
        ("order_id",),
    )
    assert (contract.event_time, contract.lateness.days) == ("at", 3)
    assert sorted(imported.notes) == [
        "amount: logicalTypeOptions.exclusiveMaximum: not taken over",
        "columns: 8 without a description, which a contract needs: describe them",
        "load: not in the file, assumed schedule */2 * * * *",
        "owner: not in the file, assumed unknown",
        "price: not taken over",
        "quantity: unique: not taken over",
        "schema refunds: not taken over: a contract has one",
        "servers: not taken over",
        "topic: not in the file, assumed name shop-orders, partitions 4, retention_bytes 1073741824",
    ]


WAREHOUSE = """\
apiVersion: v3.1.0
kind: DataContract
id: warehouse
version: 1.0.0
status: active
schema:
  - name: departments
    physicalType: table
    properties:
      - {name: DepartmentId, physicalName: dept_id, logicalType: integer, primaryKey: true, primaryKeyPosition: 1}
      - {name: Group Name, logicalType: string, required: true, primaryKey: true, primaryKeyPosition: 2}
      - {name: group_name, logicalType: string}
      - {name: day, logicalType: date, required: true, partitioned: true, partitionKeyPosition: 1}
      - {name: ModifiedDate, logicalType: timestamp, required: true}
      - {name: xmin, logicalType: integer}
      - {name: event_id, logicalType: string}
      - {name: details, logicalType: object, properties: [{name: day, logicalType: date}]}
slaProperties:
  - {property: latency, value: 4, unit: days, element: departments.ModifiedDate}
  - {property: frequency, value: 1, unit: d, scheduler: cron, schedule: "0 30 9 ? * MON *"}
"""


def test_names_of_an_odcs_contract_that_no_column_can_have_are_put_into_snake_case() -> None:
    imported = import_contract(WAREHOUSE, "shop.departments")
    contract = to_contract(imported.document)
    assert _columns(contract) == {
        "department_id": ("int64", True, "dept_id"),
        "group_name_2": ("string", False, '$["Group Name"]'),
        "group_name": ("string", True),
        "day": ("date", False),
        "modified_date": ("timestamp", False, "ModifiedDate"),
        "xmin_value": ("int64", True, "xmin"),
        "event_id_value": ("string", True, "event_id"),
        "details_day": ("date", True, "details.day"),
    }
    assert (contract.id, contract.key, contract.event_time) == (None, None, "modified_date")
    assert contract.lateness.days == 4
    assert [note for note in imported.notes if "not taken over" in note] == [
        "partitioned: day is a time, as tables have it: not taken over as key",
        "primaryKey: not taken over as id: department_id: expected a column with nullable: false that is neither an "
        "array nor json",
        "frequency: not taken over as load: load.schedule: expected five cron fields, such as "
        '"*/2 * * * *", found "0 30 9 ? * MON *"',
    ]


@pytest.mark.parametrize(
    ("given", "changed", "key", "note"),
    [
        (
            "departments.ModifiedDate",
            "departments.day",
            "event_time",
            "latency's element: not taken over as event_time",
        ),
        ("departments.ModifiedDate", "elsewhere.missing", "event_time", "latency's element: not taken over as event"),
        ("departments.ModifiedDate", '"departments.Group Name"', "event_time", "latency's element: not taken over"),
        ("value: 4, unit: days", "value: 999999, unit: days", "lateness", "latency: not taken over as lateness: "),
        ("value: 4, unit: days", "value: 4, unit: months", "lateness", "lateness: not in the file, assumed 48h"),
        ("partitioned: true", "primaryKey: true", "id", "primaryKey: not taken over as id: department_id: expected"),
        ("Name, logicalType: string", "Name, partitioned: true, logicalType: object", "key", "partitioned: not taken"),
    ],
)
def test_a_term_of_an_odcs_contract_that_no_contract_can_hold_is_a_note(
    given: str, changed: str, key: str, note: str
) -> None:
    assert given in WAREHOUSE
    imported = import_contract(WAREHOUSE.replace(given, changed), "shop.departments")
    default = {"event_time": "record", "lateness": "48h"}.get(key)
    assert (imported.document.get(key), to_contract(imported.document).stream) == (default, "shop.departments")
    assert any(line.startswith(note) for line in imported.notes), imported.notes


@pytest.mark.parametrize(
    ("limits", "note"),
    [
        ("logicalType: integer, logicalTypeOptions: {minimum: 0.5}", "minimum"),
        ("logicalType: integer, logicalTypeOptions: {minimum: 7, maximum: 2}", "maximum"),
        ("logicalType: string, logicalTypeOptions: {maxLength: 0}", "maxLength"),
        ("logicalType: timestamp, logicalTypeOptions: {defaultTimezone: Nowhere/There}", "defaultTimezone"),
    ],
)
def test_a_limit_of_an_odcs_contract_that_no_column_can_have_is_a_note(limits: str, note: str) -> None:
    given = "{name: group_name, logicalType: string}"
    assert given in WAREHOUSE
    imported = import_contract(WAREHOUSE.replace(given, f"{{name: group_name, {limits}}}"), "shop.departments")
    assert "group_name" in _columns(to_contract(imported.document))
    assert f"group_name: {note}: not taken over" in imported.notes


def test_a_required_primary_key_of_any_name_is_the_id() -> None:
    imported = import_contract(
        WAREHOUSE.replace("logicalType: integer, primaryKey", "logicalType: integer, required: true, primaryKey"),
        "shop.departments",
    )
    assert to_contract(imported.document).id == ("department_id", "group_name_2")


def test_a_topic_that_kafka_does_not_have_is_a_note() -> None:
    text = WAREHOUSE.replace("physicalType: table", "physicalType: topic\n    physicalName: a b")
    imported = import_contract(text, "shop.departments")
    assert to_contract(imported.document).topic_name == "shop.departments"
    assert any(note.startswith("physicalName: not taken over as topic: ") for note in imported.notes), imported.notes


@pytest.mark.parametrize("event_id", [{"type": "string"}, {"type": ["string", "null"]}, {"type": "object"}])
def test_a_field_event_id_that_cannot_be_the_id_has_another_name(event_id: dict[str, Any]) -> None:
    required = ["event_id"] if event_id["type"] == "object" else []
    schema = {"properties": {"event_id": event_id, "a": {"type": "integer"}}, "required": required}
    contract = to_contract(import_contract(json.dumps(schema), "a.b").document)
    assert [column.name for column in contract.columns] == ["event_id_value", "a"]
    assert contract.id_columns == ()


@pytest.mark.parametrize(
    "reference",
    [
        {"$ref": "#"},
        {"$ref": "#/$defs/Node"},
        {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]},
        {"$ref": "#/$defs/Even"},
        {"type": "object", "properties": {"b": {"$ref": "#/properties/a"}}},
    ],
)
def test_a_recursive_schema_is_a_json_column_with_a_note(reference: dict[str, Any]) -> None:
    schema = {
        "$defs": {
            "Node": {"type": "object", "properties": {"name": {"type": "string"}, "next": {"$ref": "#/$defs/Node"}}},
            "Even": {"type": "object", "properties": {"odd": {"$ref": "#/$defs/Odd"}}},
            "Odd": {"type": "object", "properties": {"even": {"$ref": "#/$defs/Even"}}},
        },
        "properties": {"a": reference, "id": {"type": "integer"}},
    }
    imported = import_contract(json.dumps(schema), "a.b")
    contract = to_contract(imported.document)
    recursive = [column for column in contract.columns if column.type == "json"]
    assert len(recursive) == 1
    assert max(len(column.paths[0]) for column in contract.columns) <= 3
    (note,) = [note for note in imported.notes if "is recursive" in note]
    assert note.startswith(f"{format_path(recursive[0].paths[0])}: the reference #")


@pytest.mark.parametrize(
    ("text", "stream", "message"),
    [
        (json.dumps(QUAKE), None, "the file does not name a stream"),
        (json.dumps(QUAKE), "Quakes", "'Quakes' is not a stream's name"),
        ("{", None, "not a JSON or YAML file"),
        ("a: [", None, "not a JSON or YAML file"),
        ("[]", None, "expected an ODCS contract or a JSON Schema"),
        ("a: 1", None, "neither an ODCS contract"),
        (ODCS.replace("v3.0.2", "v2.2.2"), "a.b", "expected ODCS of version 3, found v2.2.2"),
        ("kind: DataContract\napiVersion: v3.1.0", "a.b", "the file has no schema"),
        ("kind: DataContract\napiVersion: v3.1.0\nschema: [1]", "a.b", "the file is not valid by ODCS"),
        (json.dumps({**QUAKE, "properties": 1}), "a.b", "the file is not valid by JSON Schema"),
        (json.dumps({"properties": {}}), "a.b", "what the file says is not a valid contract: columns"),
        (json.dumps({"properties": {"a": {"type": "integer", "minimum": 0.5}}}), "a.b", "columns.0.minimum"),
    ],
)
def test_a_file_that_cannot_be_imported_is_an_error_with_its_cause(text: str, stream: str | None, message: str) -> None:
    with pytest.raises(TerminalError) as error:
        import_contract(text, stream)
    assert message in str(error.value)
    assert "Hint: " in str(error.value)


def test_column_names_are_unique_and_usable_in_sql() -> None:
    schema = {
        "properties": {"order": {"type": "string"}, "a": {"properties": {"x-y": {}}}, "b": {"properties": {"xY": {}}}}
    }
    contract = to_contract(import_contract(json.dumps(schema), "a.b").document)
    assert [column.name for column in contract.columns] == ["order_value", "a_x_y", "b_x_y"]
