"""A change stream in Debezium's envelope, read by a contract with ``deletes: tombstone``."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from sluice.contracts import Contract
from sluice.contracts.strict_yaml import parse
from sluice.contracts.validation import Event, validate_event
from sluice.warehouse.alterations import required_columns
from tests.fixtures.change_stream import COMMITTED_MS, CONTRACT, change, key

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
CUSTOMERS = Contract.model_validate(parse(CONTRACT.encode())[0])

ORDER_LINES = Contract.model_validate(
    CUSTOMERS.model_dump(exclude={"key", "columns"}, exclude_none=True)
    | {
        "id": ("order_id", "line"),
        "columns": (
            {"name": "product", "type": "string", "from": "after.product", "description": "Product."},
            {
                "name": "line",
                "type": "int32",
                "from": ["after.line", "before.line"],
                "nullable": False,
                "description": ".",
            },
            {
                "name": "order_id",
                "type": "decimal(12, 0)",
                "from": ["after.order", "before.order"],
                "nullable": False,
                "description": "Order.",
            },
        ),
    }
)
"""An id of several columns."""


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


@pytest.mark.parametrize("key", [{"order": 123456789012, "line": 3}, {"line": 3, "order": "123456789012"}])
def test_a_tombstone_has_an_id_of_several_columns_if_its_key_is_an_object_with_them(key: dict[str, Any]) -> None:
    for document in (key, {"schema": None, "payload": key}, key | {"payload": 1}):
        event, reason = validate_event(ORDER_LINES, None, AT, json.dumps(document).encode())
        assert event is not None, reason
        assert event.is_tombstone
        assert event.values == {"product": None, "line": 3, "order_id": "123456789012"}


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (b'{"order": 7}', "no value, and a key without line"),
        (b'{"order": null, "other": 1}', "no value, and a key without line and order_id"),
        (b"7", "no value, and a key without line and order_id"),
        (b"7-3", "no value, and a key without line and order_id"),
        (b'[{"order": 7, "line": 3}]', "no value, and a key without line and order_id"),
        (b'{"order": 7, "line": "x"}', 'line: expected int32, found "x"'),
    ],
)
def test_a_key_without_every_column_of_the_id_deletes_nothing(key: bytes, reason: str) -> None:
    assert validate_event(ORDER_LINES, None, AT, key) == (None, reason)


def test_the_raw_table_requires_of_a_tombstone_the_columns_of_its_id() -> None:
    assert required_columns(ORDER_LINES) & {"product", "line", "order_id"} == {"line", "order_id"}
    assert required_columns(CUSTOMERS) & {"customer", "operation"} == {"customer"}


@pytest.mark.parametrize("identity", [{"key": "line"}, {"id": ("line",)}, {"id": ("line",), "key": "order_id"}])
def test_an_id_that_no_key_holds_is_refused(identity: dict[str, Any]) -> None:
    document = ORDER_LINES.model_dump(by_alias=True, exclude_none=True) | identity
    with pytest.raises(ValidationError, match="expected an id that is the key, or one of several columns and no key"):
        Contract.model_validate(document)
