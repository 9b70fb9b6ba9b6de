"""A change stream in Debezium's envelope, read by a contract with ``deletes: tombstone``."""

import json
from datetime import UTC, datetime

from sluice.contracts import Contract
from sluice.contracts.strict_yaml import parse
from sluice.contracts.validation import Event, validate_event
from tests.fixtures.change_stream import COMMITTED_MS, CONTRACT, change, key

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
CUSTOMERS = Contract.model_validate(parse(CONTRACT.encode())[0])


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
        assert event.values["committed_at"] == COMMITTED_MS * 1000


def test_the_tombstone_after_a_deletion_has_the_id_of_its_key_with_or_without_a_schema() -> None:
    for of_row in (key(1004), json.dumps({"id": 1004}).encode(), b"1004"):
        event = read(None, of_row)
        assert event.is_tombstone
        assert event.values == {"customer": 1004, "email": None, "operation": None, "committed_at": None}
