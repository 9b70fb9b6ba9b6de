"""Guesses what columns are for: the event's time, its id, its key."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from sluice.contracts.inference.leaves import Leaf
from sluice.contracts.inference.types import Typing
from sluice.contracts.model import RECORD

_EVENT_TIMES = (
    *("event_time", "occurred_at", "event_timestamp", "timestamp", "time", "ts", "datetime", "date_time"),
    *("event_date", "date", "day"),
)
_CHANGES = ("updated", "modified", "changed", "loaded", "ingested", "processed", "inserted", "expires", "until", "end")
_MIDNIGHT = Typing(
    "timestamp",
    zone="UTC",
    why="a date, taken for its midnight in UTC so that it can be the event time: no column has a time of day",
)
EVENT_ID = "event_id"
"""The column that is the id of a contract that names none."""
_IDS = (EVENT_ID, "id", "uuid", "guid", "key", "code", "number")
_MAX_ID = 256
"""Characters of an id that a contract without a limit of its own accepts."""


@dataclass(frozen=True)
class InferredColumn:
    """A column of the contract, with the values it was inferred from."""

    name: str
    leaf: Leaf
    typing: Typing

    @property
    def is_unique(self) -> bool:
        """Whether no two records of the sample have the same value, which is not a list or an object."""
        return len(set(self.leaf.values)) == len(self.leaf.values)


@dataclass(frozen=True)
class Guess:
    """A column that was chosen, and those that could have been."""

    name: str = ""
    """Empty if there is none."""
    others: tuple[str, ...] = field(default=())


def guess_event_time(columns: Sequence[InferredColumn]) -> tuple[Guess, tuple[InferredColumn, ...]]:
    """Returns the column that says when an event happened, or ``record`` if every record has none; and the columns.

    Where no column is of timestamps, dates can be the event time: the column that has them becomes one of timestamps.
    """
    if times := _never_null(columns, "timestamp"):
        return _first(times, RECORD), tuple(columns)
    guess = _first(_never_null(columns, "date"), RECORD)
    typings = {guess.name: _MIDNIGHT}
    return guess, tuple(replace(column, typing=typings.get(column.name, column.typing)) for column in columns)


def _never_null(columns: Sequence[InferredColumn], kind: str) -> list[str]:
    """Returns the columns of a type that every record has, with the likeliest event time first."""
    names = [column.name for column in columns if column.typing.type == kind and not column.leaf.nullable]
    return sorted(names, key=_event_time_rank)


def guess_id(columns: Sequence[InferredColumn]) -> Guess:
    """Returns the column that identifies an event: one with an id's name whose values differ, or ``event_id``."""
    named = _named_like_ids(columns)
    return _first([column.name for column in named if column.is_unique or column.name == EVENT_ID], "")


def guess_key(columns: Sequence[InferredColumn], identity: Guess) -> Guess:
    """Returns the column whose events stay in order: the id, or another column with an id's name, never null."""
    return identity if identity.name else _first([column.name for column in _named_like_ids(columns)], "")


def _named_like_ids(columns: Sequence[InferredColumn]) -> list[InferredColumn]:
    """Returns the columns that could identify something, with the likeliest name first."""
    found = [column for column in columns if can_identify(column) and _id_rank(column.name) <= len(_IDS)]
    return sorted(found, key=lambda column: _id_rank(column.name))


def _first(names: Sequence[str], otherwise: str) -> Guess:
    return Guess(names[0], tuple(names[1:])) if names else Guess(otherwise)


def _event_time_rank(name: str) -> int:
    if name in _EVENT_TIMES:
        return _EVENT_TIMES.index(name)
    changes = any(word in name.split("_") for word in _CHANGES)
    return len(_EVENT_TIMES) + (1 if changes else 0)


def _id_rank(name: str) -> int:
    if name in _IDS:
        return _IDS.index(name)
    return len(_IDS) + (0 if name.endswith(("_id", "_uuid", "_key", "_code", "_number")) else 1)


def can_identify(column: InferredColumn) -> bool:
    """Returns whether a column can be an id or a key."""
    return (
        not column.leaf.nullable
        and column.typing.type in ("string", "uuid", "int32", "int64")
        and max(map(len, column.leaf.values)) <= _MAX_ID
    )
