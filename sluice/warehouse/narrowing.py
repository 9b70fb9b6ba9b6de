"""Which values of a column would change with its type, and how the others become values of the new one: in SQL, for
types as format_type spells them.
"""

import re
from dataclasses import dataclass

_DECIMAL = re.compile(r"numeric\((\d+),(\d+)\)")
_DOUBLE = "double precision"
_DOUBLE_INTEGERS = 2**53
"""Up to here, a double precision holds every integer."""
_DOUBLE_DIGITS = 15
"""A decimal with so many digits is the same after a conversion to double precision and back."""

_TIMESTAMP = "timestamp with time zone"
_RFC_3339 = "rtrim(rtrim(to_char({0} at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US'), '0'), '.') || 'Z'"
_DATE = "date"
_DATE_TEXT = "to_char({0}, 'YYYY-MM-DD')"
"""The text of a date that does not depend on the session."""
_TEXTS = ("time without time zone", "uuid")
"""Types that events have as texts, with the text that Postgres gives them, also in arrays."""
_AS_JSON = (*_TEXTS, "boolean", "text", _DATE)
"""Types besides numbers whose value, also in an array, is the same in a JSON document."""


@dataclass(frozen=True)
class _Exact:
    """A type of exact numbers: multiples of ``10^-scale`` between ``below`` and ``above``, which it does not have."""

    below: int
    above: int
    scale: int
    digits: int


_INTEGERS = {"integer": _Exact(-(2**31) - 1, 2**31, 0, 10), "bigint": _Exact(-(2**63) - 1, 2**63, 0, 19)}


def conversion(before: str, after: str) -> str | None:
    """Returns how the values of a column become those of another type, so that none changes.

    Args:
        before, after: the types.

    Returns:
        An expression in SQL with ``{0}`` for the column; empty if Postgres needs none, as for numbers and arrays of
        them, of which some may be ``misfits``; None if no value can be converted.
    """
    item, is_array = before.removesuffix("[]"), before.endswith("[]")
    if is_array == after.endswith("[]") and is_number(item) and is_number(after.removesuffix("[]")):
        return ""
    if after == "jsonb":
        if before == _TIMESTAMP:
            return f"to_jsonb({_RFC_3339})"
        return "to_jsonb({0})" if is_number(item) or item in _AS_JSON else None
    # An event has a number, or true, not as a text: a string would refuse it.
    if after == "text" and before == _DATE:
        return _DATE_TEXT
    return f"{{0}}::{after}" if item in _TEXTS and after == ("text[]" if is_array else "text") else None


def misfits(value: str, before: str, after: str) -> str:
    """Returns a condition that is true for each value that another type would lose or round; empty if there is none.

    Numbers are compared, also within arrays. If values cannot be converted, each one is a misfit: its event has it in a
    form that the new type refuses.

    Args:
        value: the column, as an expression in SQL.
        before, after: the types.
    """
    using = conversion(before, after)
    if using is None:
        return f"{value} is not null"
    if using:
        return ""
    if before.endswith("[]"):
        items = _number_misfits("item", before.removesuffix("[]"), after.removesuffix("[]"))
        return f"exists (select from unnest({value}) as item where {items})" if items else ""
    return _number_misfits(value, before, after)


def is_number(sql_type: str) -> bool:
    """Returns whether Postgres converts the type to any other type of numbers."""
    return sql_type == _DOUBLE or _exact(sql_type) is not None


def _number_misfits(value: str, before: str, after: str) -> str:
    old, new = _exact(before), _exact(after)
    if old and new:
        rounded = f"round({value}, {new.scale})" if old.scale > new.scale else value
        return _any(_outside(value, new, old), _differs(value, rounded))
    if new:
        rounded = f"round({value}::numeric, {new.scale})::{_DOUBLE}" if new.scale else f"trunc({value})"
        return _any(_outside(value, new), _differs(value, rounded))
    if old is None or old.digits <= _DOUBLE_DIGITS:
        return ""
    return _differs(value, f"{value}::{_DOUBLE}::numeric") if old.scale else f"abs({value}) > {_DOUBLE_INTEGERS}"


def _exact(sql_type: str) -> _Exact | None:
    if sql_type in _INTEGERS:
        return _INTEGERS[sql_type]
    match = _DECIMAL.fullmatch(sql_type)
    if match is None:
        return None
    precision, scale = int(match[1]), int(match[2])
    limit = 10 ** (precision - scale)
    return _Exact(-limit, limit, scale, precision)


def _outside(value: str, new: _Exact, old: _Exact | None = None) -> str:
    """Returns a condition for values below or above a type. NaN is above all."""
    return _any(
        f"{value} <= {new.below}" if old is None or old.below < new.below else "",
        f"{value} >= {new.above}" if old is None or old.above > new.above else "",
    )


def _differs(value: str, rounded: str) -> str:
    return f"{value} <> {rounded}" if rounded != value else ""


def _any(*conditions: str) -> str:
    return " or ".join(filter(None, conditions))
