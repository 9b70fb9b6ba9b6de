"""The ways in which an event can violate its contract, derived from the contract."""

import json
from dataclasses import dataclass

from sluice.contracts import Column, Contract

_MISSING = object()

_WRONG_TYPES: dict[str, tuple[object, ...]] = {
    "string": (7, ["a", "list"]),
    "boolean": ("perhaps", 2),
    "int32": ("many", 1.5, 1 << 31),
    "int64": ("many", 1.5, 1 << 63),
    "float64": ("much", [1.0]),
    "date": ("someday", 20130101),
    "timestamp": ("yesterday", 20130101),
}
"""JSON values that are not of the column type, by column type; the large integers overflow the type."""


@dataclass(frozen=True)
class Violation:
    """One way to violate a contract: ``value`` replaces the value of ``column``, or the whole event without one."""

    kind: str
    value: object
    column: str = ""

    def apply(self, event: bytes) -> bytes:
        """Returns ``event`` (a JSON object) with this violation; the result is still JSON."""
        if not self.column:
            return json.dumps(self.value).encode()
        fields = json.loads(event)
        if self.value is _MISSING:
            fields.pop(self.column, None)
        else:
            fields[self.column] = self.value
        return json.dumps(fields, separators=(",", ":")).encode()


def contract_violations(contract: Contract) -> list[Violation]:
    """Returns every known way to violate ``contract``; each one alone makes an event invalid."""
    violations = [Violation("not an object", ["an", "array"]), Violation("not an object", "a text")]
    for column in contract.columns:
        violations += _column_violations(column)
    return violations


def _column_violations(column: Column) -> list[Violation]:
    violations = [Violation("wrong type", value, column.name) for value in _WRONG_TYPES[column.type]]
    if not column.nullable:
        violations += [Violation("missing", _MISSING, column.name), Violation("null", None, column.name)]
    if column.minimum is not None:
        violations.append(Violation("below minimum", _number(column, column.minimum - 1), column.name))
    if column.maximum is not None:
        violations.append(Violation("above maximum", _number(column, column.maximum + 1), column.name))
    return violations


def _number(column: Column, value: float) -> float:
    return value if column.type == "float64" else int(value)
