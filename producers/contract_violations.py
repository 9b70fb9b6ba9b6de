"""The ways in which an event can break its contract, derived from the contract."""

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
"""Per column type, values that are JSON but not of the type; the large integers overflow theirs."""


@dataclass(frozen=True)
class Violation:
    """One way to break a contract: ``column`` gets the value ``wrong``; without a column the whole event does."""

    way: str
    wrong: object
    column: str = ""

    def apply(self, value: bytes) -> bytes:
        """The event ``value`` (a JSON object) with this violation; still JSON."""
        if not self.column:
            return json.dumps(self.wrong).encode()
        event = json.loads(value)
        if self.wrong is _MISSING:
            event.pop(self.column, None)
        else:
            event[self.column] = self.wrong
        return json.dumps(event, separators=(",", ":")).encode()


def contract_violations(contract: Contract) -> list[Violation]:
    """Every way to break ``contract`` that this module knows, each alone enough to make an event wrong."""
    found = [Violation("not an object", ["an", "array"]), Violation("not an object", "a text")]
    for column in contract.columns:
        found += _of_column(column)
    return found


def _of_column(column: Column) -> list[Violation]:
    found = [Violation("wrong type", wrong, column.name) for wrong in _WRONG_TYPES[column.type]]
    if not column.nullable:
        found += [Violation("missing", _MISSING, column.name), Violation("null", None, column.name)]
    if column.minimum is not None:
        found.append(Violation("below minimum", _number(column, column.minimum - 1), column.name))
    if column.maximum is not None:
        found.append(Violation("above maximum", _number(column, column.maximum + 1), column.name))
    return found


def _number(column: Column, value: float) -> float:
    return value if column.type == "float64" else int(value)
