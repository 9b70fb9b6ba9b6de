"""Rows of a mart, compared with the expected ones by their key: the message names the first that differs."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from exercises.grading.attempt import WrongAnswer, comparable, shown

_KINDS = {str: "text", bool: "a boolean", date: "a date", datetime: "a timestamp"}


@dataclass(frozen=True)
class Rows:
    """The rows of a query, each with one value per name, in any order."""

    names: list[str]
    rows: list[tuple[Any, ...]]

    def column(self, name: str) -> list[Any]:
        """Returns the values of a column."""
        position = self.names.index(name)
        return [row[position] for row in self.rows]

    def by_key(self, key: Sequence[str]) -> dict[tuple[Any, ...], list[dict[str, Any]]]:
        """Returns the rows as dicts by name, for each value of the key."""
        found: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
        for row in self.rows:
            values = dict(zip(self.names, row, strict=True))
            found.setdefault(tuple(values[name] for name in key), []).append(values)
        return found


def compare_rows(mart: str, key: Sequence[str], found: Rows, expected: Rows) -> None:
    """Compares a mart with the expected rows, in the order of their key. Numbers may differ after six digits.

    Args:
        mart: its name, for messages.
        key: the columns that identify an expected row.
        found: the mart's rows; the columns may have any order.
        expected: the expected rows.

    Raises:
        WrongAnswer: names the first difference.
    """
    _compare_columns(mart, found, expected)
    actual, correct = found.by_key(key), expected.by_key(key)
    for values in sorted(actual.keys() | correct.keys(), key=lambda values: [(v is None, str(v)) for v in values]):
        rows = actual.get(values, [])
        place = named(dict(zip(key, values, strict=True)))
        if values not in correct:
            raise WrongAnswer(f"{mart} has a row of {place}, expected none", "see what one row stands for")
        if len(rows) != 1:
            hint = "its grain is one row of each" if rows else "see which rows a join or a condition leaves out"
            raise WrongAnswer(f"{mart} has {len(rows) or 'no'} rows of {place}, expected one", hint)
        for name, value in correct[values][0].items():
            if comparable(rows[0][name]) != comparable(value):
                raise WrongAnswer(
                    f"{mart} has {name} {shown(rows[0][name])} for {place}, expected {shown(value)}",
                    "see what the exercise says of this column",
                )


@contextmanager
def when(moment: str, hint: str = "") -> Iterator[None]:
    """Begins the message of a wrong answer with the moment at which it was found.

    Args:
        moment: for example ``after the first run``.
        hint: instead of the wrong answer's own.
    """
    try:
        yield
    except WrongAnswer as error:
        raise WrongAnswer(f"{moment}, {error.message}", hint or error.hint) from error


def named(values: Mapping[str, Any]) -> str:
    """Returns names and values as text, for messages."""
    return ", ".join(f"{name} {shown(value)}" for name, value in values.items())


def _compare_columns(mart: str, found: Rows, expected: Rows) -> None:
    if missing := [name for name in expected.names if name not in found.names]:
        raise WrongAnswer(f"{mart} has no column {missing[0]}", "name the columns as the exercise does")
    if more := [name for name in found.names if name not in expected.names]:
        raise WrongAnswer(f"{mart} has a column {more[0]}, which the exercise does not name", "leave it out")
    for name in expected.names:
        kind, correct = _kind(found.column(name)), _kind(expected.column(name))
        if kind and correct and kind != correct:
            raise WrongAnswer(f"{mart}: {name} is {kind}, expected {correct}", "cast it")


def _kind(values: Iterable[Any]) -> str | None:
    """Returns what a column holds; None if every value is null."""
    value = next((value for value in values if value is not None), None)
    if value is None:
        return None
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return "a number"
    return _KINDS.get(type(value), type(value).__name__)
