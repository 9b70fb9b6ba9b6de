"""The ways in which an event can violate its contract, derived from the contract."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Any

from sluice.contracts import Column, Contract, DataType
from sluice.contracts.paths import MISSING, Path
from sluice.contracts.patterns import matches
from sluice.contracts.validation import parse
from sluice.contracts.values import ContractViolationError

_WRONG_TYPES: dict[str, tuple[object, ...]] = {
    "string": (7, ["a", "list"]),
    "boolean": ("perhaps", 2),
    "int32": ("many", 1.5, 1 << 31),
    "int64": ("many", 1.5, 1 << 63),
    "float64": ("much", [1.0]),
    "decimal": ("much", [1.0]),
    "date": ("someday", 20130101),
    "time": ("noon", 12),
    "timestamp": ("yesterday", 20130101),
    "uuid": ("none", 7),
    "json": (),
    "array": ("a text", {"an": "object"}),
}
"""JSON values that are not of the column type, by its kind; the large integers overflow the type."""
_WRONG_EPOCHS: tuple[object, ...] = ("yesterday", "2013-01-01T00:00:00Z")
_TEXTS = ("", "?", "None of these.", "\N{SNOWMAN}")
"""Texts of which some do not match a pattern or are not among a column's values."""


@dataclass(frozen=True)
class Violation:
    """One way to violate a contract: ``value`` replaces the value of ``column``, or the whole event without one."""

    kind: str
    value: object
    column: str = ""
    paths: tuple[Path, ...] = ()
    """Where the column's value can be in the event; of several, the first that has one counts."""

    def apply(self, event: bytes) -> bytes | None:
        """Returns ``event`` with this violation, which is still JSON; None if it is not a JSON object that can be."""
        if not self.column:
            return json.dumps(self.value).encode()
        try:
            fields = parse(event)
            for path in self.paths if self.value in (None, MISSING) else self.paths[:1]:
                _replace(fields, path, self.value)
            # A number beyond a float, such as 1e999, has become an infinity.
            return json.dumps(fields, separators=(",", ":"), allow_nan=False).encode()
        except (ContractViolationError, ValueError):
            return None


def contract_violations(contract: Contract) -> list[Violation]:
    """Returns every known way to violate ``contract``; each one alone makes an event invalid."""
    violations = [Violation("not an object", ["an", "array"]), Violation("not an object", "a text")]
    for column in contract.columns:
        violations += (Violation(kind, value, column.name, column.paths) for kind, value in _column_violations(column))
    return violations


def _column_violations(column: Column) -> Iterable[tuple[str, object]]:
    for value in _WRONG_EPOCHS if column.is_epoch else _wrong_values(column.data_type):
        yield "wrong type", value
    if not column.nullable:
        # A missing item of an array would move those after it.
        if all(isinstance(path[-1], str) for path in column.paths):
            yield "missing", MISSING
        yield "null", None
    if column.minimum is not None:
        yield "below minimum", _number(column, column.minimum, -1)
    if column.maximum is not None:
        yield "above maximum", _number(column, column.maximum, 1)
    if column.min_length:
        yield "too short", "x" * (column.min_length - 1)
    if column.enum is not None:
        yield "not in enum", next(text for text in _TEXTS if text not in column.enum)
    if column.pattern is not None:
        for text in _TEXTS:
            if not matches(column.pattern, text):
                yield "no match", text


def _wrong_values(data_type: DataType) -> tuple[object, ...]:
    values = _WRONG_TYPES[data_type.kind]
    if data_type.kind == "decimal":
        return (*values, f"0.{'0' * data_type.scale}1", "9" * (data_type.precision - data_type.scale + 1))
    if data_type.item is not None:
        return (*values, *([value] for value in _wrong_values(data_type.item)))
    return values


def _number(column: Column, bound: float, step: int) -> object:
    if column.data_type.kind == "decimal":
        # As a text, which holds every digit.
        return str(Decimal(str(bound)) + step)
    return bound + step if column.type == "float64" else int(bound + step)


def _replace(event: dict[str, Any], path: Path, value: object) -> None:
    """Replaces or, with ``MISSING``, removes what is at a path; creates what is missing on the way."""
    parent: Any = event
    for step, following in pairwise(path):
        child: Any = parent[step] if isinstance(step, int) else parent.get(step)
        if not isinstance(child, list if isinstance(following, int) else dict):
            parent[step] = child = [] if isinstance(following, int) else {}
        if isinstance(following, int):
            child.extend([None] * (following + 1 - len(child)))
        parent = child
    if value is not MISSING:
        parent[path[-1]] = value
    elif isinstance(parent, dict):
        parent.pop(path[-1], None)
