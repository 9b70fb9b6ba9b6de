"""Values with schema ids: one that cannot be decoded costs itself, a registry that is down costs the load."""

from datetime import UTC, datetime

import pytest

from sluice.contracts import Contract
from sluice.contracts.values import ContractViolationError
from sluice.errors import TerminalError, TransientError
from sluice.lake.chunk import record_columns
from sluice.live.follower import decode_record
from sluice.live.view import Record
from sluice.load.batch import Batch, read_batch

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
