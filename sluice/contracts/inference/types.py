"""Infers a column's type from its values in a sample."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

from sluice.contracts.inference.records import Fraction, Integer
from sluice.contracts.paths import Path
from sluice.contracts.types import parse_type

MAX_SCALE = 4
"""Digits after the point up to which numbers are taken for decimals: amounts, ratings and readings of instruments have
few, computed numbers have as many as a float holds."""
_SPARE_DIGITS = 2
"""Digits before the point that a decimal gets beyond those of the sample."""
_MAX_DIGITS = 38
"""What Arrow's decimal128 holds."""
_MICROSECOND_DIGITS = 6
_INT32_ROOM = 100_000_000
"""Integers below it get int32: the largest value can still grow twentyfold."""

_TIME_WORDS = {
    *("at", "created", "date", "datetime", "epoch", "expires", "modified", "moment", "occurred", "received", "seen"),
    *("sent", "since", "time", "timestamp", "ts", "until", "updated", "when"),
}
_EPOCHS = {"epoch_s": 1, "epoch_ms": 1_000, "epoch_us": 1_000_000}
_EPOCH_YEARS = (631_152_000, 4_102_444_800)
"""1990 to 2100, in seconds since 1970."""

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile(r"[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?")
_TIMESTAMP = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ](?P<time>[0-9]{2}:[0-9]{2}:[0-9]{2})(\.(?P<fraction>[0-9]+))?"
    r"(?P<zone>[Zz]|[+-][0-9]{2}:[0-9]{2})?"
)
_AMOUNT = re.compile(r"-?[0-9]+\.([0-9]+)")
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


@dataclass(frozen=True)
class Typing:
    """A column's type, with what a contract needs beside it."""

    type: str
    format: str = ""
    """The format of a timestamp that is not RFC 3339."""
    zone: str = ""
    """The zone of timestamps whose texts have none."""
    why: str = ""
    """Why this type and no other, if a person may want to decide otherwise; empty if there is no doubt."""


def infer_type(path: Path, values: Sequence[Any]) -> Typing:
    """Returns the type that holds all values of a column exactly.

    Args:
        path: the column's path; the name of a number tells whether it can be a time.
        values: the values that are not null.
    """
    if not values:
        return Typing("json", why="null in the whole sample: json takes any value")
    if all(isinstance(value, bool) for value in values):
        return Typing("boolean")
    if all(isinstance(value, Integer | Fraction) for value in values):
        return _number(path, values)
    if all(type(value) is str for value in values):
        return _text(values)
    if all(isinstance(value, list) for value in values):
        return _array(path, values)
    if all(isinstance(value, dict) for value in values):
        return Typing("json", why="an object whose names are data, or that is empty")
    return Typing("json", why="values of several kinds")


def declared_type(text: str, values: Sequence[Any]) -> Typing:
    """Returns the decimal, or the array of decimals, that a file declares for a column, with at most 38 digits.

    It keeps all digits that the file declares if a value of the sample needs them.

    Args:
        text: the type.
        values: the values that are not null.
    """
    kind = parse_type(text)
    decimal = kind.item or kind
    items = [item for value in values for item in value if item is not None] if kind.item else values
    whole = max((Decimal(item).adjusted() + 1 for item in items), default=0)
    if decimal.precision <= _MAX_DIGITS or whole > _MAX_DIGITS - decimal.scale:
        return Typing(text)
    capped = f"decimal({_MAX_DIGITS}, {decimal.scale})"
    return Typing(f"array({capped})" if kind.item else capped, why=f"the file's {decimal}, with fewer digits")


def _number(path: Path, values: Sequence[str]) -> Typing:
    if any(isinstance(value, Fraction) for value in values) and not all(map(math.isfinite, map(float, values))):
        return Typing("json", why="numbers beyond float64; decimal(p, s) holds up to 1,000 digits")
    numbers = [_decimal(value) for value in values]
    if epoch := _epoch(path, numbers):
        return Typing("timestamp", format=epoch, why=f"integers that are times in this century, as {epoch}")
    largest = max(number.copy_abs() for number in numbers)
    digits = largest.adjusted() + 1
    if all(isinstance(value, Integer) for value in values):
        if largest < _INT32_ROOM:
            return Typing("int32")
        if all(-(2**63) <= number < 2**63 for number in numbers):
            return Typing("int64")
        if digits <= _MAX_DIGITS:
            return Typing(f"decimal({_MAX_DIGITS}, 0)", why="integers beyond int64")
        return Typing("json", why=f"integers of {digits} digits")
    scale = max(-int(number.as_tuple().exponent) for number in numbers)
    whole = max(1, digits) + _SPARE_DIGITS
    if any("e" in value.lower() for value in values):
        return Typing("float64", why="numbers with an exponent")
    if scale > MAX_SCALE or whole + scale > _MAX_DIGITS:
        return Typing("float64", why=f"up to {scale} digits after the point; a decimal would keep them exactly")
    return Typing(
        f"decimal({whole + scale}, {scale})",
        why=f"at most {_count(scale, 'digit')} after the point; float64 if events may have more",
    )


def _decimal(text: str) -> Decimal:
    """Returns a number to compare. With an exponent it is a float, as no Decimal has one of 20 digits."""
    return Decimal(float(text)) if "e" in text.lower() else Decimal(text)


def _epoch(path: Path, numbers: Sequence[Decimal]) -> str:
    """Returns the format of numbers that are times since 1970, or nothing if they are not."""
    names = [step for step in path if isinstance(step, str)]
    words = set(re.findall(r"[A-Z]?[a-z]+|[A-Z]+", names[-1])) if names else set()
    if not {word.lower() for word in words} & _TIME_WORDS:
        return ""
    first, last = _EPOCH_YEARS
    for name, unit in _EPOCHS.items():
        if all(first * unit <= number <= last * unit for number in numbers):
            return name
    return ""


def _text(values: Sequence[str]) -> Typing:
    if all(_UUID.fullmatch(value) and UUID(value) for value in values):
        return Typing("uuid")
    if all(_is_valid(_DATE, date.fromisoformat, value) for value in values):
        return Typing("date")
    if all(_is_valid(_TIME, time.fromisoformat, value) for value in values):
        return Typing("time")
    if amount := _amount(values):
        return amount
    matches = [_TIMESTAMP.fullmatch(value) for value in values]
    found = [match for match in matches if match and _is_moment(match)]
    if len(found) < len(values):
        return Typing("string")
    has_zone = {bool(match["zone"]) for match in found}
    if len(has_zone) > 1:
        return Typing("string", why="times of which only some have a zone")
    doubts = [] if has_zone == {True} else ["times without a zone, taken for UTC"]
    if any(len(match["fraction"] or "") > _MICROSECOND_DIGITS for match in found):
        doubts.append("times finer than a microsecond, which are cut; string if every digit counts")
    return Typing("timestamp", zone="" if has_zone == {True} else "UTC", why="; ".join(doubts))


def _amount(values: Sequence[str]) -> Typing | None:
    """Returns the type of texts that are numbers, all with as many digits after the point; None if they are not."""
    matches = [_AMOUNT.fullmatch(value) for value in values]
    scales = {len(match[1]) if match else 0 for match in matches}
    if len(scales) > 1 or scales == {0}:
        return None
    (scale,) = scales
    precision = max(len(value.lstrip("-")) - 1 for value in values) + _SPARE_DIGITS
    if precision > _MAX_DIGITS:
        return None
    return Typing(
        f"decimal({precision}, {scale})",
        why=f"texts of numbers with {_count(scale, 'digit')} after the point; string if they are codes",
    )


def _array(path: Path, values: Sequence[list[Any]]) -> Typing:
    items = [item for value in values for item in value if item is not None]
    if not items:
        return Typing("json", why="arrays that are empty in the whole sample")
    if any(isinstance(item, dict | list) for item in items):
        return Typing("json", why="arrays of objects or arrays")
    item = infer_type((*path[:-1], "items"), items)
    if item.type == "json" or item.format or item.zone:
        return Typing("json", why="arrays with items of several kinds")
    return replace(item, type=f"array({item.type})")


def _is_valid(pattern: re.Pattern[str], parse: Callable[[str], object], value: str) -> bool:
    try:
        return bool(pattern.fullmatch(value) and parse(value))
    except ValueError:
        return False


def _is_moment(match: re.Match[str]) -> bool:
    try:
        return bool(datetime.fromisoformat(f"{match['date']}T{match['time']}"))
    except ValueError:
        return False


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
