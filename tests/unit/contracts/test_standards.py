"""Contracts as documents of other standards: nothing is lost on the way there and back, and the documents are valid."""

import json
from datetime import UTC, date, datetime, time
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from typing import Any
from uuid import UUID

import fastavro
import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.contracts import Contract, load_contracts
from sluice.contracts.standards import export_contract, import_contract
from sluice.contracts.standards.document import to_contract, to_document, to_yaml
from sluice.contracts.standards.json_schema import to_json_schema
from sluice.contracts.strict_yaml import parse
from sluice.contracts.validation import validate_event
from sluice.errors import TerminalError
from sluice.registry import avro
from sluice.registry.client import RegisteredSchema
from sluice.registry.compatibility import check_compatibility
from sluice.settings import ROOT
from tests.fixtures.contract_strategies import contracts
from tests.fixtures.event_strategies import events
from tests.fixtures.schema_registry import avro_bytes

CONTRACTS = load_contracts(ROOT / "contracts")
EXAMPLES = sorted((ROOT / "contracts" / "examples").glob("*.json"))
ODCS = jsonschema.Draft201909Validator(json.loads((files("open_data_contract_standard") / "schema.json").read_text()))
ASYNCAPI = jsonschema.Draft7Validator(
    # From the npm package @asyncapi/specs 6.11.1 (Apache-2.0), without descriptions and examples.
    json.loads((ROOT / "tests" / "fixtures" / "asyncapi-3.0.0.json").read_text())
)


@settings(max_examples=30, deadline=None)
@given(contracts())
def test_a_contract_is_the_same_after_its_yaml(contract: Contract) -> None:
    document = to_document(contract)
    assert to_contract(json.loads(json.dumps(document))) == contract
    assert Contract.model_validate(parse(to_yaml(document).encode())[0]) == contract


@pytest.mark.parametrize("standard", ["odcs", "json-schema"])
@settings(max_examples=30, deadline=None)
@given(contracts())
def test_a_contract_is_the_same_after_export_and_import(standard: str, contract: Contract) -> None:
    imported = import_contract(export_contract(contract, standard), None)
    assert to_contract(imported.document) == contract
    assert imported.notes == []


@settings(max_examples=30, deadline=None)
@given(contracts())
def test_documents_are_valid_by_their_standards(contract: Contract) -> None:
    ODCS.validate(yaml.safe_load(export_contract(contract, "odcs")))
    jsonschema.Draft7Validator.check_schema(json.loads(export_contract(contract, "json-schema")))
    for standard, read, validate in (
        ("avro", json.loads, fastavro.parse_schema),
        ("asyncapi", yaml.safe_load, ASYNCAPI.validate),
    ):
        try:
            validate(read(export_contract(contract, standard)))
        except TerminalError as error:
            # Of the contracts' odd fields, some have no place in Avro.
            assert "Avro" in str(error)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_json_schema_accepts_whatever_the_contract_accepts(data: st.DataObject) -> None:
    contract = data.draw(contracts())
    event = data.draw(events(contract))
    if _is_valid(contract, event):
        jsonschema.validate(event, to_json_schema(contract))


def _is_valid(contract: Contract, event: Any) -> bool:
    return validate_event(contract, json.dumps(event).encode(), datetime.now(UTC))[0] is not None


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_json_schema_of_the_examples(path: Path) -> None:
    *stream, case, verdict, _ = path.name.split(".")
    schema = to_json_schema(CONTRACTS[".".join(stream)])
    valid = jsonschema.Draft7Validator(schema).is_valid(json.loads(path.read_text()))
    # JSON Schema's formats only describe, a number without a fraction is an integer, and keys have a default length.
    unspeakable = ("is_no_timestamp", "is_no_date_there_is", "in_year", "no_such_offset", "event_id_too_long")
    assert valid == (verdict == "pass" or any(words in case for words in unspeakable))


TYPICAL = Contract.model_validate(
    {
        "stream": "quakes.reported",
        "description": "Earthquakes.",
        "owner": "seismology",
        "topic": {"name": "usgs-quakes", "partitions": 4, "retention_bytes": 268435456},
        "key": "code",
        "id": ["code", "number"],
        "event_time": "occurred_at",
        "lateness": "48h",
        "format": "avro",
        "load": {"schedule": "*/2 * * * *"},
        "columns": [
            {"name": "code", "type": "string", "from": "id.code", "nullable": False, "description": "Code."},
            {"name": "number", "type": "int32", "from": "id.number", "nullable": False, "description": "Number."},
            {"name": "occurred_at", "type": "timestamp", "nullable": False, "description": "Time."},
            {"name": "magnitude", "type": "decimal(5, 2)", "minimum": 0, "maximum": 10, "description": "Magnitude."},
            {"name": "kind", "type": "string", "enum": ["ml", "mb"], "description": "Kind."},
            {"name": "longitude", "type": "float64", "from": "geometry.coordinates[0]", "description": "Longitude."},
            {"name": "latitude", "type": "float64", "from": "geometry.coordinates[1]", "description": "Latitude."},
            {"name": "felt", "type": "boolean", "description": "Felt."},
            {"name": "reports", "type": "int64", "description": "Reports."},
            {"name": "day", "type": "date", "description": "Day."},
            {"name": "clock", "type": "time", "description": "Time of day."},
            {"name": "sensor", "type": "uuid", "description": "Sensor."},
            {"name": "updated_at", "type": "timestamp", "format": "epoch_ms", "description": "Update."},
            {"name": "local", "type": "timestamp", "zone": "UTC", "description": "Local time."},
            {"name": "details", "type": "json", "description": "Details."},
            {"name": "tags", "type": "array(string)", "description": "Tags."},
        ],
    }
)


def test_fields_are_nested_as_in_events() -> None:
    schema = json.loads(export_contract(TYPICAL, "json-schema"))
    assert schema["required"] == ["id", "occurred_at"]
    identity = schema["properties"]["id"]
    assert (identity["type"], identity["required"], [*identity["properties"]]) == (
        "object",
        ["code", "number"],
        ["code", "number"],
    )
    # None of its columns is required, so that anything else may be in its place.
    assert "type" not in schema["properties"]["geometry"]
    longitude, latitude = schema["properties"]["geometry"]["properties"]["coordinates"]["items"]
    assert (longitude["x-sluice-column"], latitude["x-sluice-column"]) == ("longitude", "latitude")
    record = json.loads(export_contract(TYPICAL, "avro"))
    assert (record["namespace"], record["name"]) == ("quakes", "reported")
    types = {field["name"]: field["type"] for field in record["fields"]}
    assert [field["name"] for field in types["id"]["fields"]] == ["code", "number"]
    assert types["geometry"][1]["fields"][0]["type"] == ["null", {"type": "array", "items": ["null", "double"]}]
    assert types["kind"] == ["null", {"type": "enum", "name": "reported_kind", "symbols": ["ml", "mb"]}]


def test_terms_of_the_standards_are_used_where_there_are_any() -> None:
    odcs = yaml.safe_load(export_contract(TYPICAL, "odcs"))
    (schema,) = odcs["schema"]
    by_name = {item["name"]: item for item in schema["properties"]}
    assert (odcs["name"], odcs["team"]["name"], schema["physicalName"]) == (
        "quakes.reported",
        "seismology",
        "usgs-quakes",
    )
    assert (by_name["code"]["primaryKeyPosition"], by_name["code"]["partitioned"]) == (1, True)
    assert (by_name["number"]["primaryKeyPosition"], by_name["number"]["physicalName"]) == (2, "id.number")
    assert by_name["magnitude"]["logicalTypeOptions"] == {"minimum": 0, "maximum": 10}
    assert by_name["kind"]["quality"][0]["arguments"] == {"validValues": ["ml", "mb"]}
    assert odcs["slaProperties"][0] == {
        "property": "latency",
        "value": 48,
        "unit": "h",
        "element": "quakes.reported.occurred_at",
    }
    custom = {item["property"] for item in odcs["customProperties"]}
    assert custom == {"sluiceTopic", "sluiceFormat"}
    asyncapi = yaml.safe_load(export_contract(TYPICAL, "asyncapi"))
    channel = asyncapi["channels"]["quakes_reported"]
    assert (channel["address"], channel["bindings"]["kafka"]["partitions"]) == ("usgs-quakes", 4)
    message = asyncapi["components"]["messages"]["event"]
    assert message["payload"]["schema"] == json.loads(export_contract(TYPICAL, "avro"))
    assert message["bindings"]["kafka"]["schemaIdPayloadEncoding"] == "confluent"


def test_a_pattern_matches_the_whole_text_in_every_standard() -> None:
    contract = _contract([{"name": "a", "type": "string", "pattern": "a|b", "nullable": False}])
    schema = to_json_schema(contract)
    for text in ("a", "b", "ab", "xa", "bx"):
        assert jsonschema.Draft7Validator(schema).is_valid({"a": text}) == _is_valid(contract, {"a": text})


MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678_901, UTC)
FULL = {
    "id": {"code": "us7000", "number": 7},
    "occurred_at": MOMENT,
    "magnitude": Decimal("4.50"),
    "kind": "ml",
    "geometry": {"coordinates": [16.5, 48.25]},
    "felt": True,
    "reports": 2**40,
    "day": date(2026, 1, 2),
    "clock": time(3, 4, 5),
    "sensor": UUID(int=5),
    "updated_at": 1_767_323_045_678,
    "local": datetime(2026, 1, 2, 3, 4, 5),  # noqa: DTZ001 - Avro has timestamps without a zone.
    "details": "any text",
    "tags": ["a", None],
}


@pytest.mark.parametrize("optional", [True, False])
def test_events_of_the_exported_avro_schema_are_valid_by_the_contract(optional: bool) -> None:
    exported = json.loads(export_contract(TYPICAL, "avro"))
    required = ("id", "occurred_at")
    record = {name: value for name, value in FULL.items() if optional or name in required}
    body = avro_bytes(exported, record)
    schema, _ = avro.parse_schema(RegisteredSchema(json.dumps(exported)), lambda reference: pytest.fail())
    event, reason = validate_event(TYPICAL, avro.read(schema, body), None)
    assert event is not None, reason
    found = {name for name, value in event.values.items() if value is not None}
    assert found == ({*event.values} if optional else {"code", "number", "occurred_at"})
    assert check_compatibility(TYPICAL, RegisteredSchema(json.dumps(exported)), lambda reference: pytest.fail()) == []


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ([{"name": "a", "from": '["odd name"]', "type": "string"}], "a: Avro has no field 'odd name'"),
        (
            [{"name": "a", "from": "x", "type": "string"}, {"name": "b", "from": "x", "type": "int32"}],
            "a, b: read from one field as several types",
        ),
    ],
)
def test_what_avro_cannot_say_is_an_error(columns: list[dict[str, Any]], problem: str) -> None:
    with pytest.raises(TerminalError, match=problem):
        export_contract(_contract(columns), "avro")


def _contract(columns: list[dict[str, Any]]) -> Contract:
    return Contract.model_validate(
        {
            "stream": "a.b",
            "description": "Events.",
            "owner": "tests",
            "topic": {"partitions": 1, "retention_bytes": 1 << 20},
            "event_time": "record",
            "lateness": "1h",
            "load": {"schedule": "* * * * *"},
            "columns": [{"description": "A column.", **column} for column in columns],
        }
    )
