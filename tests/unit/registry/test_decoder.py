"""Values with a schema id: what they become, and what is wrong with those that cannot be read."""

import json
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.contracts import Contract
from sluice.contracts.validation import parse
from sluice.contracts.values import ContractViolationError
from sluice.errors import TerminalError, TransientError
from sluice.registry import decoder, wire_format
from sluice.registry.avro_decoder import AvroDecoder
from sluice.registry.client import Reference, RegisteredSchema, SchemaNotFoundError
from sluice.settings import Settings
from tests.fixtures.schema_registry import avro_bytes, avro_value

_NAMED = {
    "type": "record",
    "name": "Reading",
    "namespace": "plant",
    "fields": [
        {"name": "sensor", "type": {"type": "string", "logicalType": "uuid"}},
        {
            "name": "value",
            "type": ["null", {"type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 3}],
        },
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "received_at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "local", "type": {"type": "long", "logicalType": "local-timestamp-millis"}},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "clock", "type": {"type": "int", "logicalType": "time-millis"}},
        {"name": "state", "type": {"type": "enum", "name": "State", "symbols": ["ON", "OFF"]}},
        {"name": "tags", "type": {"type": "map", "values": "string"}},
        {"name": "curve", "type": {"type": "array", "items": "double"}},
        {"name": "raw", "type": "bytes"},
        {"name": "count", "type": "long"},
        {"name": "ok", "type": "boolean"},
    ],
}
RECORD = {
    "sensor": UUID("0f0e0d0c-0b0a-0908-0706-050403020100"),
    "value": Decimal("12345678901234567.890"),
    "at": datetime(2026, 1, 2, 3, 4, 5, 678_901, UTC),
    "received_at": datetime(1969, 12, 31, 23, 59, 59, 999_000, UTC),
    "local": datetime(2026, 1, 2, 3, 4, 5),  # noqa: DTZ001 - Avro has timestamps without a zone.
    "day": date(2026, 1, 2),
    "clock": time(3, 4, 5, 678_000),
    "state": "OFF",
    "tags": {'si"ze': "nörd"},
    "curve": [0.1, float("nan"), -0.5],
    "raw": b"\x00\xff",
    "count": 2**53 + 1,
    "ok": True,
}
AVRO = RegisteredSchema(json.dumps(_NAMED))


class Registry:
    """Schemas by id, and how often each was requested."""

    def __init__(self, *schemas: RegisteredSchema, fault: Exception | None = None) -> None:
        self.schemas = dict(enumerate(schemas, 1))
        self.requests: list[int] = []
        self.fault = fault
        self.references: dict[Reference, RegisteredSchema] = {}

    def schema(self, schema_id: int) -> RegisteredSchema:
        self.requests.append(schema_id)
        if self.fault:
            raise self.fault
        if schema_id not in self.schemas:
            raise SchemaNotFoundError("not found")
        return self.schemas[schema_id]

    def referred(self, reference: Reference) -> RegisteredSchema:
        return self.references[reference]


def test_an_avro_record_becomes_json() -> None:
    assert AvroDecoder(Registry(AVRO))(avro_value(1, _NAMED, RECORD)) == (
        b'{"sensor":"0f0e0d0c-0b0a-0908-0706-050403020100",'
        # A float would have lost the last digits.
        b'"value":12345678901234567.890,'
        b'"at":"2026-01-02T03:04:05.678901+00:00",'
        b'"received_at":"1969-12-31T23:59:59.999000+00:00",'
        b'"local":"2026-01-02T03:04:05",'
        b'"day":"2026-01-02","clock":"03:04:05.678000","state":"OFF","tags":{"si\\"ze":"n\\u00f6rd"},'
        b'"curve":[0.1,"nan",-0.5],"raw":"AP8=","count":9007199254740993,"ok":true}'
    )
    without = AvroDecoder(Registry(AVRO))(avro_value(1, _NAMED, RECORD | {"value": None}))
    assert json.loads(without)["value"] is None


def test_a_schema_is_requested_once_and_an_unknown_one_again_after_a_while() -> None:
    now = 0.0
    registry = Registry(AVRO)
    decode = AvroDecoder(registry, lambda: now)
    for _ in range(3):
        decode(avro_value(1, _NAMED, RECORD))
        with pytest.raises(ContractViolationError, match="expected the id of a registered schema, found 2"):
            decode(avro_value(2, _NAMED, RECORD))
    assert registry.requests == [1, 2]
    registry.schemas[2] = AVRO
    now = 31.0
    assert json.loads(decode(avro_value(2, _NAMED, RECORD)))["ok"] is True
    assert registry.requests == [1, 2, 2]


def test_the_cache_keeps_a_limited_number_of_schemas() -> None:
    registry = Registry(AVRO)
    decode = AvroDecoder(registry)
    decode(avro_value(1, _NAMED, RECORD))
    for schema_id in range(2, 1_100):
        with pytest.raises(ContractViolationError):
            decode(wire_format.join(schema_id, b""))
    assert len(decode._schemas) == 1_000
    decode(avro_value(1, _NAMED, RECORD))
    assert registry.requests.count(1) == 2


@pytest.mark.parametrize("fault", [TransientError("down"), TerminalError("denied")])
def test_an_unreachable_registry_fails_the_load_and_costs_no_record(fault: Exception) -> None:
    registry = Registry(AVRO, fault=fault)
    decode = AvroDecoder(registry)
    with pytest.raises(type(fault)):
        decode(avro_value(1, _NAMED, RECORD))
    registry.fault = None
    assert json.loads(decode(avro_value(1, _NAMED, RECORD)))["ok"] is True


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "not Confluent's wire format: expected at least 5 bytes, found 0"),
        (b"\x00\x00\x00\x01", "not Confluent's wire format: expected at least 5 bytes, found 4"),
        (b'{"a": 1}', "not Confluent's wire format: expected the first byte 0, found 123"),
        (wire_format.join(1, b"\x01"), "not an event of its schema: too short"),
        (avro_value(1, _NAMED, RECORD) + b"\x00", "not an event of its schema: too long"),
        (wire_format.join(2, b""), "schema 2: expected an Avro schema, found one of type PROTOBUF"),
        (wire_format.join(3, b""), "schema 3: not an Avro schema that can be read: "),
        (wire_format.join(2**32 - 1, b""), "expected the id of a registered schema, found 4294967295"),
    ],
)
def test_a_value_that_cannot_be_read_has_a_reason(value: bytes, reason: str) -> None:
    registry = Registry(
        AVRO,
        RegisteredSchema('syntax = "proto3";', "PROTOBUF"),
        RegisteredSchema("{\x1b"),
    )
    with pytest.raises(ContractViolationError) as error:
        AvroDecoder(registry)(value)
    assert str(error.value).startswith(reason)
    assert str(error.value).isprintable()


@pytest.mark.parametrize(
    ("field_type", "reason"),
    [
        # A few bytes would mean an array of any length, or a recursion that overflows the reader's stack.
        ({"type": "array", "items": "null"}, "arrays of items that take no bytes"),
        ({"type": "array", "items": {"type": "record", "name": "Empty", "fields": []}}, "items that take no bytes"),
        (["null", "Event"], "Event: recursive types"),
        ({"type": "map", "values": {"type": "array", "items": "Event"}}, "Event: recursive types"),
    ],
)
def test_a_schema_that_lets_a_record_crash_the_reader_is_refused(field_type: Any, reason: str) -> None:
    schema = {"type": "record", "name": "Event", "fields": [{"name": "a", "type": field_type}]}
    with pytest.raises(ContractViolationError, match=reason):
        AvroDecoder(Registry(RegisteredSchema(json.dumps(schema))))(wire_format.join(1, b"\x02" * 100_000))


def test_references_are_resolved_each_once() -> None:
    place = {"type": "record", "name": "geo.Place", "fields": [{"name": "code", "type": "string"}]}
    leg = {"type": "record", "name": "Leg", "fields": [{"name": side, "type": "geo.Place"} for side in ("from", "to")]}
    trip = {
        "type": "record",
        "name": "Trip",
        "fields": [{"name": "leg", "type": "Leg"}, {"name": "at", "type": "geo.Place"}],
    }
    to_place, to_leg = Reference("geo.Place", "place-value", 1), Reference("Leg", "leg-value", 2)
    registry = Registry(RegisteredSchema(json.dumps(trip), references=(to_place, to_leg)))
    registry.references = {
        to_place: RegisteredSchema(json.dumps(place)),
        to_leg: RegisteredSchema(json.dumps(leg), references=(to_place,)),
    }
    event = {"leg": {"from": {"code": "a"}, "to": {"code": "b"}}, "at": {"code": "c"}}
    assert json.loads(AvroDecoder(registry)(wire_format.join(1, b"\x02a\x02b\x02c"))) == event
    # A topic with several types of events has a union of references.
    registry.schemas[2] = RegisteredSchema('["geo.Place", "Leg"]', references=(to_place, to_leg))
    decode = AvroDecoder(registry)
    assert json.loads(decode(wire_format.join(2, b"\x00\x02c"))) == event["at"]
    assert json.loads(decode(wire_format.join(2, b"\x02\x02a\x02b"))) == event["leg"]


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_any_bytes_are_an_event_or_have_a_reason(data: st.DataObject) -> None:
    value = bytearray(avro_bytes(_NAMED, RECORD))
    for _ in range(data.draw(st.integers(0, 4))):
        position = data.draw(st.integers(0, len(value)))
        value[position : position + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    try:
        assert parse(AvroDecoder(Registry(AVRO))(wire_format.join(1, bytes(value))))
    except ContractViolationError as violation:
        assert str(violation).isprintable()


def contract_with(format_name: str) -> Contract:
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
            "columns": [{"name": "value", "type": "decimal(20, 3)", "description": "The value."}],
        }
    )


def test_json_with_a_schema_id_needs_no_registry() -> None:
    decode = decoder(contract_with("json-registry"), Settings(_env_file=None))  # type: ignore[call-arg]
    assert decode is not None
    assert decode(wire_format.join(7, b'{"value": 1.10}')) == b'{"value": 1.10}'
    with pytest.raises(ContractViolationError, match="not Confluent's wire format"):
        decode(b'{"value": 1.10}')


def test_json_needs_no_decoder() -> None:
    assert decoder(contract_with("json"), Settings(_env_file=None)) is None  # type: ignore[call-arg]


def test_avro_without_a_registry_is_a_terminal_error() -> None:
    with pytest.raises(TerminalError, match="SLUICE_SCHEMA_REGISTRY_URL"):
        decoder(contract_with("avro"), Settings(_env_file=None))  # type: ignore[call-arg]
