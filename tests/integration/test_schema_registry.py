"""Events with schema ids, from the bytes on a Kafka topic to rows of the raw table."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from sluice.errors import TransientError
from sluice.load import load, reload
from sluice.quarantine.records import Selection
from sluice.quarantine.replay import replay
from sluice.registry import wire_format
from sluice.registry.client import RegisteredSchema, SchemaRegistry
from sluice.warehouse import connect
from tests.fixtures.ports import free_ports
from tests.fixtures.schema_registry import avro_value, registry_url
from tests.fixtures.servers import Stream

CONTRACT = """\
stream: {{stream}}
description: Readings of a plant.
owner: tests
topic: {{{{partitions: {{partitions}}, retention_bytes: 1073741824}}}}
format: {format}
id: number
event_time: at
lateness: 1h
load: {{{{schedule: "*/5 * * * *"}}}}
columns:
  - {{{{name: number, type: int64, nullable: false, description: Number.}}}}
  - {{{{name: at, type: timestamp, from: meta.at, nullable: false, description: Time.}}}}
  - {{{{name: sensor, type: uuid, from: meta.sensor, description: A sensor.}}}}
  - {{{{name: price, type: "decimal(30, 10)", description: An exact number.}}}}
  - {{{{name: tags, type: array(string), description: Texts.}}}}
  - {{{{name: details, type: json, description: Anything.}}}}
"""
_META = {
    "type": "record",
    "name": "Meta",
    "fields": [
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "sensor", "type": {"type": "string", "logicalType": "uuid"}},
    ],
}
SCHEMA = {
    "type": "record",
    "name": "Reading",
    "fields": [
        {"name": "number", "type": "long"},
        {"name": "meta", "type": _META},
        {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 30, "scale": 10}},
        {"name": "tags", "type": {"type": "array", "items": "string"}},
        {"name": "details", "type": {"type": "map", "values": "double"}},
    ],
}
AT = datetime(2013, 1, 1, 10, 0, 0, 123_456, UTC)
PRICE = "12345678901234567890.0123456789"
SENSOR = UUID("0f0e0d0c-0b0a-0908-0706-050403020100")
EXPECTED = (AT, SENSOR, Decimal(PRICE), ["a", 'b"c'], {"x": 0.1})


@pytest.fixture
def registry() -> Iterator[str]:
    with registry_url() as url:
        yield url


def record(number: int) -> dict[str, Any]:
    return {
        "number": number,
        "meta": {"at": AT, "sensor": SENSOR},
        "price": Decimal(PRICE),
        "tags": ["a", 'b"c'],
        "details": {"x": 0.1},
    }


def rows(stream: Stream) -> list[tuple[Any, ...]]:
    with connect(stream.settings, "reader") as reader:
        query = f"select number, at, sensor, price, tags, details from raw.{stream.contract.table} order by number"
        return reader.execute(query.encode()).fetchall()


def quarantined(stream: Stream) -> list[tuple[Any, ...]]:
    with connect(stream.settings, "reader") as reader:
        query = 'select reason, value from raw.quarantine where stream = %s order by "offset"'
        return reader.execute(query, (stream.name,)).fetchall()


def test_avro_arrives_in_postgres_exactly(make_stream: Callable[..., Stream], registry: str) -> None:
    stream = make_stream(1, CONTRACT.format(format="avro"))
    stream.settings = stream.settings.model_copy(update={"schema_registry_url": registry})
    with SchemaRegistry(stream.settings) as client:
        schema_id = client.register(f"{stream.name}-value", RegisteredSchema(json.dumps(SCHEMA)))
        # Schemas evolve: a topic has events of several.
        newer = {**SCHEMA, "fields": [*SCHEMA["fields"], {"name": "note", "type": "string", "default": ""}]}
        newer_id = client.register(f"{stream.name}-value", RegisteredSchema(json.dumps(newer)))
    unknown = wire_format.join(newer_id + 1_000, b"")
    cut = avro_value(schema_id, SCHEMA, record(9))[:-1]
    stream.send(
        [
            avro_value(schema_id, SCHEMA, record(1)),
            avro_value(newer_id, newer, record(2) | {"note": "new"}),
            unknown,
            b'{"number": 3}',
            cut,
        ]
    )
    stream.land()
    report = load(stream.settings, stream.contract)
    assert (report.rows, report.quarantined) == (2, 3)
    assert report.drift.total() == 1
    assert rows(stream) == [(1, *EXPECTED), (2, *EXPECTED)]
    assert quarantined(stream) == [
        (f"expected the id of a registered schema, found {newer_id + 1_000}", unknown),
        ("not Confluent's wire format: expected the first byte 0, found 123", b'{"number": 3}'),
        ("not an event of its schema: too short", cut),
    ]
    reload(stream.settings, stream.contract, AT.date())
    assert rows(stream) == [(1, *EXPECTED), (2, *EXPECTED)]


def test_a_load_fails_and_resumes_while_the_registry_is_down(make_stream: Callable[..., Stream], registry: str) -> None:
    stream = make_stream(1, CONTRACT.format(format="avro"))
    up = stream.settings.model_copy(update={"schema_registry_url": registry})
    down = stream.settings.model_copy(update={"schema_registry_url": f"http://127.0.0.1:{free_ports(1)[0]}"})
    with SchemaRegistry(up) as client:
        schema_id = client.register(f"{stream.name}-value", RegisteredSchema(json.dumps(SCHEMA)))
    stream.send([avro_value(schema_id, SCHEMA, record(1))])
    stream.land()
    with pytest.raises(TransientError, match=r"schema registry .* is down"):
        load(down, stream.contract)
    assert rows(stream) == quarantined(stream) == []
    assert load(up, stream.contract).rows == 1
    assert rows(stream) == [(1, *EXPECTED)]


def test_json_with_schema_ids_is_loaded_and_replayed(make_stream: Callable[..., Stream]) -> None:
    stream = make_stream(1, CONTRACT.format(format="json-registry"))
    event = (
        f'{{"number": %d, "meta": {{"at": "{AT.isoformat()}", "sensor": "{SENSOR}"}}, "price": {PRICE},'
        ' "tags": ["a", "b\\"c"], "details": {"x": 0.1}}'
    )
    plain = (event % 2).encode()
    stream.send([wire_format.join(7, (event % 1).encode()), plain])
    stream.land()
    assert load(stream.settings, stream.contract).quarantined == 1
    assert rows(stream) == [(1, *EXPECTED)]
    assert quarantined(stream)[0][1] == plain
    # Without a format, the same contract reads the other event.
    contract = stream.contract.model_copy(update={"format": "json"})
    (result,) = replay(stream.settings, {stream.name: contract}, Selection(stream.name), "tests")
    assert (result.moved, result.left) == (1, 0)
    assert rows(stream) == [(1, *EXPECTED), (2, *EXPECTED)]
