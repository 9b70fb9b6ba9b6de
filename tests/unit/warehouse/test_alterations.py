"""A raw table follows its contract in every way that loses nothing, and in no other."""

from typing import Any

import pytest

from sluice.contracts import Contract
from sluice.contracts.types import PLAIN_TYPES, parse_type
from sluice.warehouse.alterations import METADATA_COLUMNS, REQUIRED_METADATA, TableColumn, plan_alterations, sql_type


def contract(**types: str) -> Contract:
    """Returns a contract with further columns; a type that ends in ! is required."""
    columns: list[dict[str, Any]] = [
        {"name": "event_id", "type": "string", "nullable": False, "description": "Id."},
        {"name": "at", "type": "timestamp", "nullable": False, "description": "Time."},
    ]
    for name, column_type in types.items():
        nullable = not column_type.endswith("!")
        columns.append({"name": name, "type": column_type.rstrip("!"), "nullable": nullable, "description": "A field."})
    return Contract.model_validate(
        {
            "stream": "a.b",
            "description": "A test.",
            "owner": "tests",
            "topic": {"partitions": 1, "retention_bytes": 1 << 20},
            "key": "event_id",
            "event_time": "at",
            "lateness": "1h",
            "load": {"schedule": "* * * * *"},
            "columns": columns,
        }
    )


def table(**types: str) -> dict[str, TableColumn]:
    """Returns the table of a contract with these columns."""
    columns = {
        name: TableColumn(data_type, name not in REQUIRED_METADATA) for name, data_type in METADATA_COLUMNS.items()
    }
    return columns | {
        column.name: TableColumn(sql_type(column.data_type), column.nullable) for column in contract(**types).columns
    }


def texts(before: dict[str, TableColumn], after: Contract) -> list[str]:
    return [alteration.text for alteration in plan_alterations(after, before)]


def statements(before: dict[str, TableColumn], after: Contract) -> list[str]:
    return [
        statement.as_string()
        for alteration in plan_alterations(after, before)
        for statement in alteration.statements("a_b")
    ]


def test_a_table_that_follows_its_contract_is_left_alone() -> None:
    assert texts(table(x="int32", y="string!"), contract(x="int32", y="string!")) == []


def test_a_new_column_is_added_and_becomes_not_null_once_no_row_lacks_it() -> None:
    assert texts(table(), contract(x="int64")) == [
        "x: added; null in earlier rows until `make backfill` reloads their dates"
    ]
    assert statements(table(), contract(x="int64")) == ['alter table "raw"."a_b" add column "x" bigint']
    add, comment = statements(table(), contract(x="int64!"))
    assert add == 'alter table "raw"."a_b" add column "x" bigint'
    before = table() | {"x": TableColumn("bigint", True, comment.split("'")[1])}
    (alteration,) = plan_alterations(contract(x="int64!"), before)
    assert alteration.waits and not alteration.needed_by_loads
    assert alteration.misfits == "t.x is null"
    assert [statement.as_string() for statement in alteration.statements("a_b")] == [
        'alter table "raw"."a_b" alter column "x" set not null',
        'comment on column "raw"."a_b"."x" is \'\'',
    ]


TYPES = [
    *PLAIN_TYPES,
    "decimal(12, 2)",
    "decimal(12, 4)",
    "decimal(25, 4)",
    "array(int32)",
    "array(int64)",
    "array(string)",
]
WIDENED = {
    ("int32", "int64"),
    ("int32", "float64"),
    ("decimal(12, 2)", "float64"),
    ("decimal(12, 4)", "float64"),
    ("int32", "decimal(12, 2)"),
    ("int32", "decimal(25, 4)"),
    ("int64", "decimal(25, 4)"),
    ("decimal(12, 2)", "decimal(25, 4)"),
    ("decimal(12, 4)", "decimal(25, 4)"),
    ("array(int32)", "array(int64)"),
}
CONVERTED = {
    *((before, "json") for before in TYPES if before != "json"),
    *((before, "string") for before in ("date", "time", "uuid")),
}
"""Types that are no numbers, and have a value for each one."""


def numbers(column_type: str) -> bool:
    return column_type.startswith(("int", "float", "decimal"))


@pytest.mark.parametrize("before", TYPES)
@pytest.mark.parametrize("after", TYPES)
def test_a_type_changes_only_if_every_value_stays_the_same(before: str, after: str) -> None:
    if before == after:
        assert texts(table(x=before), contract(x=after)) == []
        return
    (alteration,) = plan_alterations(contract(x=after), table(x=before))
    assert alteration.changes_type and alteration.needed_by_loads and not alteration.waits
    assert f"set its type back to {before}, and declare a column of another name" in alteration.hint
    assert (alteration.misfits == "") == ((before, after) in WIDENED | CONVERTED)
    compared = (numbers(before) and numbers(after)) or {before, after} == {"array(int32)", "array(int64)"}
    assert (alteration.misfits == "t.x is not null") == (not compared and (before, after) not in CONVERTED)
    (statement,) = statements(table(x=before), contract(x=after))
    changed = f'alter table "raw"."a_b" alter column "x" type {sql_type(parse_type(after))}'
    if compared:
        assert statement == changed
    elif (before, after) in CONVERTED:
        assert statement.startswith(f"{changed} using ") and '"x"' in statement.removeprefix(changed)
    else:
        # Without a value to keep, there is nothing to convert.
        assert statement == f"{changed} using null"


def test_a_column_that_is_no_longer_required_may_be_null() -> None:
    assert statements(table(x="int32!"), contract(x="int32")) == [
        'alter table "raw"."a_b" alter column "x" drop not null'
    ]


def test_a_column_becomes_required_if_no_row_lacks_it() -> None:
    (alteration,) = plan_alterations(contract(x="int32!"), table(x="int32"))
    assert (alteration.text, alteration.misfits) == ("x: required", "t.x is null")
    assert not alteration.waits
    # The table takes every valid event already.
    assert not alteration.needed_by_loads
    assert statements(table(x="int32"), contract(x="int32!")) == [
        'alter table "raw"."a_b" alter column "x" set not null'
    ]


@pytest.mark.parametrize("required", ["", "!"])
def test_a_removed_column_stays_and_may_be_null_and_its_removal_is_reported_once(required: str) -> None:
    before = table(x=f"int32{required}")
    assert texts(before, contract()) == ["x: no longer in the contract; the column stays, and new rows have null"]
    drop, comment = statements(before, contract()) if required else ("", *statements(before, contract()))
    assert drop == ('alter table "raw"."a_b" alter column "x" drop not null' if required else "")
    note = comment.split("'")[1]
    after = before | {"x": TableColumn("integer", True, note)}
    assert texts(after, contract()) == []
    assert texts(after, contract(x="int32!")) == ["x: in the contract again"]
    assert statements(after, contract(x="int32")) == ['comment on column "raw"."a_b"."x" is \'\'']
    # Rows that were loaded meanwhile lack it, as those from before a required column was added.
    assert "Required since it was added" in statements(after, contract(x="int32!"))[0]
    assert texts(before | {"x": TableColumn("integer", True, "A comment of the owner's.")}, contract()) == []


def test_a_renamed_column_is_a_removed_one_and_a_new_one() -> None:
    assert texts(table(x="int32!"), contract(y="int32!")) == [
        "y: added; null in earlier rows until `make backfill` reloads their dates",
        "x: no longer in the contract; the column stays, and new rows have null",
    ]
