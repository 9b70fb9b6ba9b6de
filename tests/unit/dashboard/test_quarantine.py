"""Quarantined records by family and column, their examples as they are shown, and the commands beside them."""

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from urllib.parse import unquote

import pytest

from dashboard.quarantine import (
    OTHER,
    RECORD,
    discard_command,
    families,
    family_and_column,
    pretty,
    replay_command,
)
from dashboard.queries import MAX_KIND, QuarantinedRecord, QuarantineReason
from sluice.contracts import Contract
from sluice.contracts.strict_yaml import parse
from sluice.contracts.validation import validate_event
from sluice.contracts.values import ContractViolationError
from sluice.registry import wire_format
from sluice.settings import ROOT

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
        ("not an event of its schema: too long", "Not an event", RECORD),
        ("expected the id of a registered schema, found …", "Not an event", RECORD),
        ("schema 7: not an Avro schema that can be read: x", "Not an event", RECORD),
        ("cannot be read: KeyError", OTHER, RECORD),
        ("rejected by Postgres: NumericValueOutOfRange", OTHER, RECORD),
    ],
)
def test_a_reason_has_a_family_and_a_column(kind: str, family: str, column: str) -> None:
    assert family_and_column(kind) == (family, column)


CONTRACT = Contract.model_validate(
    parse(b"""\
stream: a.b
description: An event.
owner: tests
topic: {partitions: 1, retention_bytes: 1048576}
key: id
event_time: record
lateness: 1h
load: {schedule: "*/5 * * * *"}
columns:
  - {name: id, type: string, nullable: false, max_length: 8, description: Id.}
  - {name: number, type: int32, minimum: 0, maximum: 9, description: A number.}
  - {name: amount, type: "decimal(5, 2)", minimum: 0, description: An amount.}
  - {name: code, type: string, pattern: "[a-z]+", min_length: 2, max_length: 8, description: A code.}
  - {name: colour, type: string, enum: [red], max_length: 8, description: A colour.}
  - {name: day, type: date, years: {first: 2000, last: 2030}, description: A date.}
  - {name: at, type: timestamp, description: A time.}
  - {name: document, type: json, description: A document.}
  - {name: tags, type: "array(string)", description: Tags.}
""")[0]
)
AT = datetime(2013, 1, 5, tzinfo=UTC)


def kind_of(text: str) -> str:
    """Returns the kind of a reason, as the view ``ops.quarantine`` derives it."""
    view = (ROOT / "sluice/warehouse/views.sql").read_text().partition(" as kind,")[0]
    patterns = re.findall(r"'((?:[^']|'')+)', '([^']+)'\)", view)
    assert len(patterns) == 3
    for pattern, replacement in patterns:
        text = re.sub(pattern.replace("''", "'"), replacement, text, count=1)
    return text


@pytest.mark.parametrize(
    ("value", "family", "column"),
    [
        (b"nope", "Not JSON", RECORD),
        (b"\xff", "Not JSON", RECORD),
        (b'{"number": Infinity}', "Not JSON", RECORD),
        (b"[" * 300 + b"]" * 300, "Not JSON", RECORD),
        (None, "Not an event", RECORD),
        (b"[]", "Not an event", RECORD),
        (b"{}", "Missing or null", "id"),
        (b'{"id": null}', "Missing or null", "id"),
        (b'{"id": "a", "id": "b"}', "Given twice", "id"),
        (b'{"id": 1}', "Wrong type", "id"),
        (b'{"id": "a", "number": "1"}', "Wrong type", "number"),
        (b'{"id": "a", "amount": 1.234}', "Wrong type", "amount"),
        (b'{"id": "a", "day": "2013-02-30"}', "Wrong type", "day"),
        (b'{"id": "a", "tags": [1]}', "Wrong type", "tags"),
        (b'{"id": "too long for it"}', "Outside the limits", "id"),
        (b'{"id": "a", "number": -20}', "Outside the limits", "number"),
        (b'{"id": "a", "number": 10}', "Outside the limits", "number"),
        (b'{"id": "a", "amount": "-1.5"}', "Outside the limits", "amount"),
        (b'{"id": "a", "code": "a"}', "Outside the limits", "code"),
        (b'{"id": "a", "code": "A B"}', "Outside the limits", "code"),
        (b'{"id": "a", "colour": "blue"}', "Outside the limits", "colour"),
        (b'{"id": "a", "day": "0001-01-01"}', "Outside the limits", "day"),
        (b'{"id": "a", "at": "9999-12-31T00:00:00Z"}', "Outside the limits", "at"),
        (b'{"id": "\\u0000"}', "Outside the limits", "id"),
        (b'{"id": "a", "document": {"x": ["\\u0000"]}}', "Outside the limits", "document"),
        (b'{"id": "a", "tags": ["\\ud800"]}', "Outside the limits", "tags"),
    ],
)
def test_each_reason_of_the_validation_has_a_family_and_a_column(value: bytes | None, family: str, column: str) -> None:
    event, found = validate_event(CONTRACT, value, AT)
    assert event is None
    assert family_and_column(kind_of(found)) == (family, column), found


@pytest.mark.parametrize(
    ("timestamp", "family"),
    [
        (None, "Not an event"),
        (datetime(1850, 1, 1, tzinfo=UTC), "Outside the limits"),
        (datetime(9999, 1, 1, tzinfo=UTC), "Outside the limits"),
    ],
)
def test_each_reason_of_a_records_timestamp_has_a_family(timestamp: datetime | None, family: str) -> None:
    event, found = validate_event(CONTRACT, b'{"id": "a"}', timestamp)
    assert event is None
    assert family_and_column(kind_of(found)) == (family, RECORD), found


@pytest.mark.parametrize("key", [None, b"\xff", b"{}"])
def test_each_reason_of_a_tombstone_has_a_family(key: bytes | None) -> None:
    contract = CONTRACT.model_copy(update={"id": ("id",), "deletes": "tombstone"})
    event, found = validate_event(contract, None, AT, key)
    assert event is None
    assert family_and_column(kind_of(found))[0] in ("Not an event", "Wrong type"), found


@pytest.mark.parametrize("value", [b"", b"\x01\0\0\0\0", b"\0\0\0"])
def test_what_is_not_in_the_wire_format_is_not_an_event(value: bytes) -> None:
    with pytest.raises(ContractViolationError) as violation:
        wire_format.split(value)
    assert family_and_column(kind_of(str(violation.value))) == ("Not an event", RECORD)


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


KINDS = (
    "not JSON: Expecting value at character …",
    "not JSON: Expecting ',' delimiter at character …",
    "distance_miles: … is below the minimum 0",
    'not JSON: Illegal trailing comma before "}"',
    "x$(rm -rf ~)`reboot`: given twice",
    "$HOME $$ ${PATH}: given twice",
    "100% #1! \\ \\n\n\t: given twice",
    "%27: given twice",
    "größe  \u202e✓: given twice",
    " -x ",
)


def through_make(command: str, folder: Path) -> list[str]:
    """Returns the arguments that the platform's recipe passes on when a command is run in a shell."""
    (recipe,) = (line for line in (ROOT / "Makefile").read_text().splitlines() if "$(SLUICE) quarantine" in line)
    program = f"{sys.executable} -c 'import json, sys; print(json.dumps(sys.argv[1:]))'"
    (folder / "Makefile").write_text(f"SHELL := /bin/bash\nSLUICE := {program}\nquarantine:\n{recipe}\n")
    done = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, check=True, timeout=60)
    arguments: list[str] = json.loads(done.stdout)
    return arguments


@pytest.mark.parametrize("kind", KINDS)
def test_the_command_that_discards_selects_exactly_the_reason(kind: str, tmp_path: Path) -> None:
    command = discard_command("a.b", kind)
    assert command is not None
    name, action, *options = through_make(command, tmp_path)
    assert (name, action) == ("quarantine", "discard")
    assert dict(zip(options[::2], options[1::2], strict=True)) == {
        "--stream": "a.b",
        "--kind": quoted(options),
        "--note": "why",
    }
    assert unquote(quoted(options)) == kind


def quoted(options: Sequence[str]) -> str:
    """Returns the value of the option ``--kind``."""
    return options[options.index("--kind") + 1]


@pytest.mark.parametrize("kind", ["x" * MAX_KIND, "x" * (MAX_KIND + 1)])
def test_a_reason_that_may_be_cut_has_no_command_that_discards(kind: str) -> None:
    assert discard_command("a.b", kind) is None
    assert discard_command("a.b", kind[: MAX_KIND - 1]) is not None


@pytest.mark.parametrize("kind", KINDS)
def test_the_command_that_replays_selects_at_least_the_reason(kind: str, tmp_path: Path) -> None:
    arguments = through_make(replay_command("a.b", kind), tmp_path)
    assert arguments[:4] == ["quarantine", "replay", "--stream", "a.b"]
    if arguments[4:]:
        option, prefix = arguments[4:]
        assert option == "--reason"
        assert kind.startswith(prefix)


def test_a_reason_without_a_safe_prefix_replays_the_stream() -> None:
    assert replay_command("a.b", "'; true") == "make quarantine A='replay --stream a.b'"
