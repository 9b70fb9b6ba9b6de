"""The types of a contract's columns, as they are written: ``int64``, ``decimal(10, 2)``, ``array(string)``."""

import re
from dataclasses import dataclass

PLAIN_TYPES = ("string", "boolean", "int32", "int64", "float64", "date", "time", "timestamp", "uuid", "json")
"""Types without parameters."""
NUMERIC_TYPES = ("int32", "int64", "float64", "decimal")
_MAX_LENGTH = 60
"""Characters. Types are nested: the longest has 29."""
_MAX_PRECISION = 1_000
"""Postgres' limit for numeric(p, s)."""
_DECIMAL = re.compile(r"decimal\(\s*(\d{1,4})\s*,\s*(\d{1,4})\s*\)")
_ARRAY = re.compile(r"array\((.+)\)")


@dataclass(frozen=True)
class DataType:
    """A column's type."""

    kind: str
    """One of ``PLAIN_TYPES``, or ``decimal``, or ``array``."""
    precision: int = 0
    """Digits of a decimal."""
    scale: int = 0
    """Digits of a decimal after its point."""
    item: "DataType | None" = None
    """The type of an array's items."""

    def __str__(self) -> str:
        if self.kind == "decimal":
            return f"decimal({self.precision}, {self.scale})"
        return f"array({self.item})" if self.item else self.kind


def parse_type(text: str) -> DataType:
    """Returns the type that a text names.

    Raises:
        ValueError: there is no such type; the message says what is expected.
    """
    if text in PLAIN_TYPES:
        return DataType(text)
    if len(text) > _MAX_LENGTH:
        raise ValueError(f"expected a type of at most {_MAX_LENGTH} characters, found {text[:_MAX_LENGTH]}…")
    if match := _DECIMAL.fullmatch(text):
        precision, scale = int(match[1]), int(match[2])
        if not 1 <= precision <= _MAX_PRECISION or scale > precision:
            raise ValueError(f"expected decimal(p, s) with 1 <= p <= {_MAX_PRECISION} and s <= p, found {text}")
        return DataType("decimal", precision, scale)
    if match := _ARRAY.fullmatch(text):
        item = parse_type(match[1].strip())
        if item.kind in ("array", "json"):
            raise ValueError(f"expected an array of another type than {item.kind}; for this one, use json")
        return DataType("array", item=item)
    raise ValueError(f"expected {', '.join(PLAIN_TYPES)}, decimal(p, s) or array(type)")
