"""A change stream in Debezium's envelope, read by a contract with ``deletes: tombstone``."""

import json
from datetime import UTC, datetime
from typing import Any

from sluice.contracts import Contract
from sluice.contracts.strict_yaml import parse
from sluice.contracts.validation import Event, validate_event

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
CUSTOMERS = Contract.model_validate(
    parse(b"""\
stream: shop.customers
description: A customer was created, changed or deleted.
owner: tests
topic: {name: inventory.public.customers, partitions: 1, retention_bytes: 1048576}
key: customer
id: customer
keep: last
deletes: tombstone
event_time: record
lateness: 48h
load: {schedule: "*/5 * * * *"}
columns:
  - {name: customer, type: int32, from: [after.id, before.id], nullable: false, description: Id.}
  - {name: email, type: string, from: after.email, description: Address.}
  - {name: operation, type: string, from: op, nullable: false, enum: [r, c, u, d], description: Kind of change.}
  - {name: committed_at, type: timestamp, from: source.ts_ms, format: epoch_ms, description: When.}
""")[0]
)


def change(op: str, before: dict[str, Any] | None, after: dict[str, Any] | None) -> bytes:
    source = {"connector": "postgresql", "db": "inventory", "table": "customers", "ts_ms": 1772366400000}
    return json.dumps({"before": before, "after": after, "source": source, "op": op, "ts_ms": 1772366400123}).encode()


def read(value: bytes | None, key: bytes | None = None) -> Event:
    event, reason = validate_event(CUSTOMERS, value, AT, key)
    assert event is not None, reason
    return event


def test_creations_changes_and_deletions_have_the_id_of_their_row() -> None:
    old, new = {"id": 1004, "email": "a@shop.example"}, {"id": 1004, "email": "b@shop.example"}
    for op, before, after, email in (
        ("r", None, old, "a@shop.example"),
        ("c", None, old, "a@shop.example"),
        ("u", old, new, "b@shop.example"),
        ("d", new, None, None),
    ):
        event = read(change(op, before, after))
        assert (event.values["customer"], event.values["email"], event.values["operation"]) == (1004, email, op)
        assert event.values["committed_at"] == 1772366400000 * 1000


def test_the_tombstone_after_a_deletion_has_the_id_of_its_key_with_or_without_a_schema() -> None:
    schema = {"type": "struct", "fields": [{"type": "int32", "optional": False, "field": "id"}]}
    for key in ({"schema": schema, "payload": {"id": 1004}}, {"id": 1004}, 1004):
        event = read(None, json.dumps(key).encode())
        assert event.is_tombstone
        assert event.values == {"customer": 1004, "email": None, "operation": None, "committed_at": None}
