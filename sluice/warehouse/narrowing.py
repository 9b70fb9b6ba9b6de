"""Which values of a column would change with its type: conditions in SQL, for types as format_type spells them."""

import re
from dataclasses import dataclass

_DECIMAL = re.compile(r"numeric\((\d+),(\d+)\)")
_DOUBLE = "double precision"
_DOUBLE_INTEGERS = 2**53
"""Up to here, a double precision holds every integer."""
_DOUBLE_DIGITS = 15
"""A decimal with so many digits is the same after a conversion to double precision and back."""


@dataclass(frozen=True)
class _Exact:
    """A type of exact numbers: multiples of ``10^-scale`` between ``below`` and ``above``, which it does not have."""

    below: int
    above: int
    scale: int
    digits: int


_INTEGERS = {"integer": _Exact(-(2**31) - 1, 2**31, 0, 10), "bigint": _Exact(-(2**63) - 1, 2**63, 0, 19)}


def misfits(value: str, before: str, after: str) -> str:
    """Returns a condition that is true for each value that another type would lose or round; empty if there is none.

    Numbers are compared. A value of any other type is a misfit: its event has it in a form that the new type refuses.

    Args:
        value: the column, as an expression in SQL.
        before, after: the types.
    """
    old, new = _exact(before), _exact(after)
    if old and new:
        rounded = f"round({value}, {new.scale})" if old.scale > new.scale else value
        return _any(_outside(value, new, old), _differs(value, rounded))
    if before == _DOUBLE and new:
        rounded = f"round({value}::numeric, {new.scale})::{_DOUBLE}" if new.scale else f"trunc({value})"
        return _any(_outside(value, new), _differs(value, rounded))
    if old and after == _DOUBLE:
        if old.digits <= _DOUBLE_DIGITS:
            return ""
        return _differs(value, f"{value}::{_DOUBLE}::numeric") if old.scale else f"abs({value}) > {_DOUBLE_INTEGERS}"
    return f"{value} is not null"


def is_number(sql_type: str) -> bool:
    """Returns whether Postgres converts the type to any other type of numbers."""
    return sql_type == _DOUBLE or _exact(sql_type) is not None


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
