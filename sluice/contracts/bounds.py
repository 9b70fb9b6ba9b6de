"""Checks the bounds of numeric columns."""

import math

INT_RANGES = {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1)}
"""Smallest and largest value of each integer type."""


def check_bound(column_type: str, bound: float) -> float:
    """Returns a bound as a value of the column's type: an int for integer columns, a float for float64.

    A bound of another type is returned as it is; a decimal's counts as the shortest text that means it.

    Raises:
        ValueError: the column has no such value, so that the bound would be another one than was written.
    """
    if isinstance(bound, float) and not math.isfinite(bound):
        raise ValueError(f"expected a finite number, found {bound}")
    if column_type in INT_RANGES:
        low, high = INT_RANGES[column_type]
        if bound != int(bound) or not low <= bound <= high:
            raise ValueError(f"expected an integer from {low} to {high}, found {str(bound)[:40]}")
        return int(bound)
    if column_type == "float64":
        try:
            number = float(bound)
        except OverflowError:
            number = math.inf
        if number != bound:
            raise ValueError(f"expected a number that float64 holds exactly, found {str(bound)[:40]}")
        return number
    return bound
