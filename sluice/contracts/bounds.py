"""Checks the bounds of numeric columns."""

import math
from decimal import Decimal

from sluice.contracts.types import DataType

INT_RANGES = {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1)}
"""Smallest and largest value of each integer type."""
_MAX_DIGITS = 300
"""Of a decimal's bound, before the point: it is also read as a float."""


def check_bound(data_type: DataType, bound: float) -> float:
    """Returns a bound as a value of the column's type: an int for integer columns, a float for float64.

    A bound of another type is returned as it is; a decimal's counts as the shortest text that means it.

    Raises:
        ValueError: the column has no such value, so that the bound would be another one than was written.
    """
    if isinstance(bound, float) and not math.isfinite(bound):
        raise ValueError(f"expected a finite number, found {bound}")
    if data_type.kind in INT_RANGES:
        low, high = INT_RANGES[data_type.kind]
        if bound != int(bound) or not low <= bound <= high:
            raise ValueError(f"expected an integer from {low} to {high}, found {str(bound)[:40]}")
        return int(bound)
    if data_type.kind == "float64":
        try:
            number = float(bound)
        except OverflowError:
            number = math.inf
        if number != bound:
            raise ValueError(f"expected a number that float64 holds exactly, found {str(bound)[:40]}")
        return number
    if data_type.kind == "decimal" and abs(Decimal(str(bound))) >= Decimal(10) ** _MAX_DIGITS:
        raise ValueError(f"expected a number of at most {_MAX_DIGITS} digits, found {str(bound)[:40]}")
    return bound
