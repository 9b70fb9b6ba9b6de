"""Values with schema ids: one that cannot be decoded costs itself, a registry that is down costs the load."""

import json
from datetime import UTC, datetime

import pytest

from dashboard.quarantine import family_and_column
from sluice.contracts import Contract
from sluice.contracts.values import ContractViolationError
from sluice.errors import TerminalError, TransientError
from sluice.lake.chunk import record_columns
from sluice.live.follower import decode_record
from sluice.live.view import Record
from sluice.load.batch import Batch, read_batch
from sluice.registry import Decoder, decoder, wire_format
from sluice.registry.avro_decoder import AvroDecoder
from sluice.registry.client import Reference, RegisteredSchema, SchemaNotFoundError
from sluice.settings import Settings
from tests.fixtures.schema_registry import avro_value

CONTRACT = Contract.model_validate(
    {
        "stream": "plant.readings",
        "description": "Readings.",
        "owner": "tests",
        "topic": {"partitions": 1, "retention_bytes": 1 << 20},
        "event_time": "record",
        "lateness": "1h",
        "format": "json-registry",
        "load": {"schedule": "* * * * *"},
        "columns": [{"name": "value", "type": "int64", "nullable": False, "description": "The value."}],
    }
)
MOMENT = datetime(2026, 1, 2, tzinfo=UTC)


def decode(value: bytes) -> bytes:
    match value[:1]:
        case b"?":
            raise ContractViolationError("not in the format")
        case b"!":
            raise ZeroDivisionError
        case b"-":
            raise TransientError("the registry is down")
        case b"x":
            raise TerminalError("the registry denies access")
    return value[1:]


def batch_of(*values: bytes | None, rejected: dict[tuple[str, int, int], str] | None = None) -> Batch:
    milliseconds = int(MOMENT.timestamp() * 1_000)
    count = len(values)
    rows = record_columns(
        "topic", 0, range(count), [milliseconds] * count, [None] * count, list(values), [None] * count
    )
    return read_batch(CONTRACT, rows, rejected=rejected or {}, decode=decode)


def test_a_value_that_cannot_be_decoded_costs_itself_and_keeps_its_bytes() -> None:
    batch = batch_of(b'.{"value": 1}', b"?odd", b'.{"value": "x"}', b"!", None, b'.{"value": 2}')
    assert batch.columns.rows["value"].to_pylist() == [1, 2]
    assert batch.columns.reasons == [
        "not in the format",
        'value: expected int64, found "x"',
        "cannot be read: ZeroDivisionError",
        "no value",
    ]
    assert batch.invalid["value"].to_pylist() == [b"?odd", b'.{"value": "x"}', b"!", None]


def test_a_rejected_record_keeps_the_reason_of_its_rejection() -> None:
    batch = batch_of(b"?", b'.{"value": 1}', rejected={("topic", 0, 0): "Postgres rejects it"})
    assert batch.columns.reasons == ["Postgres rejects it"]
    assert batch.columns.rows["value"].to_pylist() == [1]


@pytest.mark.parametrize(("value", "error"), [(b"-", TransientError), (b"x", TerminalError)])
def test_a_registry_that_cannot_be_asked_fails_the_load(value: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        batch_of(b'.{"value": 1}', value)


def test_the_live_view_decodes_as_the_load_does() -> None:
    record = Record("plant.readings", "topic", 0, 0, None, b'.{"value": 1}')
    assert decode_record(record, decode).value == b'{"value": 1}'
    assert decode_record(record, None) is record
    # Neither JSON nor a deletion.
    for value in (b"?", b"!"):
        assert decode_record(record._replace(value=value), decode).value == b""
    assert decode_record(record._replace(value=None), decode).value is None
    with pytest.raises(TransientError):
        decode_record(record._replace(value=b"-"), decode)


DELETING = CONTRACT.model_validate(
    CONTRACT.model_dump(exclude_none=True)
    | {
        "key": "sensor",
        "id": ("sensor",),
        "keep": "last",
        "deletes": "tombstone",
        "columns": ({"name": "sensor", "type": "string", "from": "meta.id", "nullable": False, "description": "Id."},),
    }
)
SETTINGS = Settings(_env_file=None)  # type: ignore[call-arg]


class Registry:
    """Schemas by id, of which there may be none."""

    def __init__(self, *schemas: RegisteredSchema) -> None:
        self.schemas = dict(enumerate(schemas, 1))

    def schema(self, schema_id: int) -> RegisteredSchema:
        if schema_id not in self.schemas:
            raise SchemaNotFoundError("not found")
        return self.schemas[schema_id]

    def referred(self, reference: Reference) -> RegisteredSchema:
        raise NotImplementedError(reference)


def tombstones_of(decode: Decoder | None, *keys: bytes | None) -> Batch:
    milliseconds = int(MOMENT.timestamp() * 1_000)
    count = len(keys)
    rows = record_columns("topic", 0, range(count), [milliseconds] * count, list(keys), [None] * count, [None] * count)
    return read_batch(DELETING, rows, decode=decode)


def test_a_tombstones_key_with_a_schema_id_is_decoded_as_json() -> None:
    keys = [wire_format.join(7, body) for body in (b'"a"', b'{"id": "b"}', b'{"payload": {"id": "c"}}', b"12")]
    batch = tombstones_of(decoder(DELETING, SETTINGS), *keys)
    assert batch.columns.rows.to_pylist() == [{"sensor": name, "_deleted": True} for name in ("a", "b", "c", "12")]


def test_a_tombstones_key_with_a_schema_id_is_decoded_as_avro() -> None:
    record = {"type": "record", "name": "Key", "fields": [{"name": "id", "type": "string"}]}
    registry = Registry(RegisteredSchema('"string"'), RegisteredSchema(json.dumps(record)))
    keys = [avro_value(1, "string", "a"), avro_value(2, record, {"id": "b"})]
    batch = tombstones_of(AvroDecoder(registry), *keys)
    assert batch.columns.rows["sensor"].to_pylist() == ["a", "b"]
    # A key that cannot be decoded costs itself, and keeps its bytes.
    broken = [avro_value(9, "string", "a"), wire_format.join(1, b"")]
    batch = tombstones_of(AvroDecoder(registry), *broken, keys[0])
    assert batch.columns.reasons == [
        "no value, and a key that cannot be decoded: expected the id of a registered schema, found 9",
        "no value, and a key that cannot be decoded: not an event of its schema: too short",
    ]
    assert batch.invalid["key"].to_pylist() == broken
    assert batch.columns.rows["sensor"].to_pylist() == ["a"]
    for reason in batch.columns.reasons:
        assert family_and_column(reason)[0] == "Not an event"


def test_a_tombstones_key_without_a_schema_id_is_read_as_it_is() -> None:
    batch = tombstones_of(AvroDecoder(Registry()), b"a", b'"b"', b'{"id": "c"}', b"\0", None)
    assert batch.columns.rows["sensor"].to_pylist() == ["a", "b", "c"]
    assert batch.columns.reasons == ["sensor: holds a character that no text column can hold", "no value and no key"]


def test_the_keys_of_events_are_not_decoded() -> None:
    key, value = wire_format.join(9, b"?"), wire_format.join(1, b'{"meta": {"id": "a"}}')
    rows = record_columns("topic", 0, range(1), [1_000], [key], [value], [None])
    batch = read_batch(DELETING, rows, decode=decoder(DELETING, SETTINGS))
    assert batch.columns.rows["sensor"].to_pylist() == ["a"]
