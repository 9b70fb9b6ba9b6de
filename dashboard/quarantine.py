"""Quarantined records grouped by what is wrong with them (the family) and by the column that it is wrong with."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

from dashboard.formatting import excerpt
from dashboard.queries import MAX_KIND, QuarantinedRecord, QuarantineReason

Group = TypeVar("Group", "Family", "Column")

RECORD = "whole record"
"""Stands for a column where the record as a whole is invalid."""

_FAMILIES = (
    ("Not JSON", re.compile(r"not JSON")),
    (
        "Not an event",
        re.compile(
            r"no value|expected an object|the record has no timestamp|not Confluent's wire format|schema \d+: "
            r"|not an event of its schema|expected the id of a registered schema"
        ),
    ),
    ("Missing or null", re.compile(r"\S+: (missing|null), ")),
    ("Wrong type", re.compile(r"\S+: expected ")),
    ("Given twice", re.compile(r".*: given twice$", re.DOTALL)),
    (
        "Outside the limits",
        re.compile(
            r"\S+: (… is|longer than|shorter than|outside the years|not one of|does not match|holds a character)"
            r"|the record's timestamp "
        ),
    ),
)
"""The families by the start of a kind of reason, as the contracts' validation and the decoders write it."""
OTHER = "Other"

_COLUMN = re.compile(r"(\S+): ")


@dataclass(frozen=True)
class Reason:
    """A stream's records with one kind of reason, with some examples."""

    counts: QuarantineReason
    examples: list[QuarantinedRecord]


@dataclass(frozen=True)
class Column:
    """The reasons of one family that name one column, those with the most records first."""

    name: str
    reasons: list[Reason]

    @property
    def records(self) -> int:
        """The records of all its reasons."""
        return sum(reason.counts.records for reason in self.reasons)

    @property
    def streams(self) -> list[str]:
        """The streams that have such records."""
        return sorted({reason.counts.stream for reason in self.reasons})


@dataclass(frozen=True)
class Family:
    """What is wrong with records, by column; the columns with the most records first."""

    name: str
    columns: list[Column]

    @property
    def records(self) -> int:
        """The records of all its columns."""
        return sum(column.records for column in self.columns)


def family_and_column(kind: str) -> tuple[str, str]:
    """Returns the family of a kind of reason, and the column that it names."""
    name = next((name for name, pattern in _FAMILIES if pattern.match(kind)), OTHER)
    match = _COLUMN.match(kind)
    return name, match[1] if match and name not in ("Not JSON", "Not an event") else RECORD


def families(reasons: Iterable[QuarantineReason], examples: Iterable[QuarantinedRecord]) -> list[Family]:
    """Returns the reasons by family, the family with the most records first."""
    by_reason: dict[tuple[str, str], list[QuarantinedRecord]] = {}
    for record in examples:
        by_reason.setdefault((record.stream, record.kind), []).append(record)
    grouped: dict[str, dict[str, list[Reason]]] = {}
    for counts in reasons:
        family, column = family_and_column(counts.kind)
        reason = Reason(counts, by_reason.get((counts.stream, counts.kind), []))
        grouped.setdefault(family, {}).setdefault(column, []).append(reason)
    return _most_first(
        Family(family, _most_first(Column(name, rows) for name, rows in columns.items()))
        for family, columns in grouped.items()
    )


def _most_first(groups: Iterable[Group]) -> list[Group]:
    return sorted(groups, key=lambda group: (-group.records, group.name))


def pretty(value: bytes | None) -> str:
    """Returns a record as a page shows it: a JSON object with a line per field, anything else as one line."""
    try:
        event: Any = json.loads(value or b"")
    except (ValueError, RecursionError):
        return excerpt(value)
    if not isinstance(event, dict):
        return excerpt(value)
    # With non-ASCII characters as escapes: some would distort the page.
    return json.dumps(event, indent=2)


def replay_command(stream: str, kind: str) -> str:
    """Returns the command that replays at least the records of a stream with a kind of reason."""
    # A kind holds characters that shells and make interpret. A prefix without them is enough: a replay
    # leaves what is not valid.
    prefix = re.match(r"[\w .,:-]*", kind, re.ASCII)
    reason = f' --reason "{prefix[0].rstrip()}"' if prefix and prefix[0].rstrip() else ""
    return f"make quarantine A='replay --stream {stream}{reason}'"


def discard_command(stream: str, kind: str) -> str | None:
    """Returns the command that discards exactly the records of a stream with a kind of reason.

    None for a kind that the page may have cut: there is no command for others of the same beginning.
    """
    if len(kind) >= MAX_KIND:
        return None
    # What shells and make interpret, as in URLs.
    exact = re.sub(r"[^\w .,:…-]", lambda match: quote(match[0], safe=""), kind, flags=re.ASCII)
    return f'make quarantine A=\'discard --stream {stream} --kind "{exact}" --note "why"\''
