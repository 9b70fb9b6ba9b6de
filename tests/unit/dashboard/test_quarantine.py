"""Quarantined records by family and column, their examples as they are shown, and the commands beside them."""

import shlex
from datetime import date

import pytest

from dashboard.quarantine import OTHER, RECORD, families, family_and_column, pretty, quarantine_command
from dashboard.queries import QuarantinedRecord, QuarantineReason

DAY = date(2013, 1, 5)


def reason(kind: str, records: int, stream: str = "a.b") -> QuarantineReason:
    return QuarantineReason(stream, kind, records, 0, DAY, DAY, 1, records, 0)


@pytest.mark.parametrize(
    ("kind", "family", "column"),
    [
        ("not JSON: Expecting value at character …", "Not JSON", RECORD),
        ("no value", "Not an event", RECORD),
        ("expected an object, found …", "Not an event", RECORD),
        ("the record has no timestamp", "Not an event", RECORD),
        ("origin: missing, but it is required", "Missing or null", "origin"),
        ("origin: null, but it is required", "Missing or null", "origin"),
        ("distance_miles: expected int32, found …", "Wrong type", "distance_miles"),
        ("distance_miles: … is below the minimum 0", "Outside the limits", "distance_miles"),
        ("carrier: longer than 8 characters, found …", "Outside the limits", "carrier"),
        ("carrier: not one of the values that the contract lists, found …", "Outside the limits", "carrier"),
        ("departed_at: outside the years 1900 to 2199, found …", "Outside the limits", "departed_at"),
        ("carrier: given twice", "Given twice", "carrier"),
        ("cannot be read: KeyError", OTHER, RECORD),
    ],
)
def test_a_reason_has_a_family_and_a_column(kind: str, family: str, column: str) -> None:
    assert family_and_column(kind) == (family, column)


def test_families_and_columns_with_the_most_records_come_first() -> None:
    missing, null = "origin: missing, but it is required", "origin: null, but it is required"
    dest = "dest: missing, but it is required"
    example = QuarantinedRecord("a.b", null, DAY, 0, 7, null, b"{}")
    found = families([reason(dest, 3), reason("not JSON: x", 4), reason(missing, 2), reason(null, 2, "c.d")], [example])
    assert [(family.name, family.records) for family in found] == [("Missing or null", 7), ("Not JSON", 4)]
    assert [(column.name, column.records, column.streams) for column in found[0].columns] == [
        ("origin", 4, ["a.b", "c.d"]),
        ("dest", 3, ["a.b"]),
    ]
    # The example is of another stream.
    assert [row.examples for row in found[0].columns[0].reasons] == [[], []]
    assert families([reason(null, 2)], [example])[0].columns[0].reasons[0].examples == [example]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b'{"a": 1, "b": {"c": "x"}}', '{\n  "a": 1,\n  "b": {\n    "c": "x"\n  }\n}'),
        ('{"a": "\u202e"}'.encode(), '{\n  "a": "\\u202e"\n}'),
        (b'{"a": 1', '{"a": 1'),
        (b"[1]", "[1]"),
        (b"\xff\x00", "\\xff\\x00"),
        (b"[" * 100_000, "[" * 240 + "…"),
        (None, "no value"),
    ],
)
def test_an_example_is_formatted_if_it_is_an_object(value: bytes | None, text: str) -> None:
    assert pretty(value) == text


@pytest.mark.parametrize(
    ("kind", "prefix"),
    [
        ("not JSON: Expecting value at character …", "not JSON: Expecting value at character"),
        ("distance_miles: … is below the minimum 0", "distance_miles:"),
        ("x$(rm -rf ~): given twice", "x"),
        ("not JSON: Expecting ',' delimiter", "not JSON: Expecting"),
    ],
)
def test_the_command_selects_the_reason_and_nothing_in_it_is_a_command(kind: str, prefix: str) -> None:
    _, _, assignment = shlex.split(quarantine_command("a.b", "replay", kind))
    assert shlex.split(assignment.removeprefix("A=")) == ["replay", "--stream", "a.b", "--reason", prefix]
    assert quarantine_command("a.b", "discard", kind).endswith('--note "why"\'')


def test_a_reason_without_a_safe_prefix_selects_the_stream() -> None:
    assert quarantine_command("a.b", "replay", "'; true") == "make quarantine A='replay --stream a.b'"
