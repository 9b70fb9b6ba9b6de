"""Reads one value of an event as its column's type, or gives the reason why the value is invalid.

What a reader returns is what the raw table stores: a text, a number or a truth value; a timestamp as microseconds and a
date as days since 1970-01-01; and for types that Arrow does not copy into Postgres (``TEXT_KINDS``), Postgres' own
text.
"""

import json
import math
import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_FLOOR, Decimal
from functools import lru_cache
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sluice.contracts.bounds import INT_RANGES
from sluice.contracts.model import Column, Years, is_storable
from sluice.contracts.patterns import matches
from sluice.contracts.types import DataType
from sluice.escaping import shorten

_HOURS_MINUTES = "([01][0-9]|2[0-3]):[0-5][0-9]"
_CLOCK = rf"{_HOURS_MINUTES}:[0-5][0-9]"
_ZONE = rf"(Z|[+-]{_HOURS_MINUTES})"
DATE_PATTERN = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
TIMESTAMP_PATTERN = rf"{DATE_PATTERN}T{_CLOCK}(\.[0-9]{{1,6}})?{_ZONE}"
"""RFC 3339, for whole texts. Digits are spelled out: in Python, `\\d` also matches those of other scripts."""
TIME_LENGTH = len("23:59:59.123456")
"""Characters of the longest time that Postgres holds; what is beyond the microsecond is cut."""
TIME_PATTERN = rf"({_CLOCK})(\.[0-9]+)?"
UUID_PATTERN = "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"

TEXT_KINDS = ("decimal", "time", "uuid", "json", "array")
"""Kinds of types whose values are read as Postgres' text."""

_TIMESTAMP = re.compile(
    rf"(?P<whole>{DATE_PATTERN}[Tt ]{_CLOCK})(?P<fraction>\.[0-9]+)?(?P<zone>[Zz]|[+-]{_HOURS_MINUTES})?"
)
"""RFC 3339 (section 5.6) also allows small letters, and a space for the T."""
_DATE = re.compile(DATE_PATTERN)
_TIME = re.compile(TIME_PATTERN)
_DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,4})?")
_UUID = re.compile(UUID_PATTERN)
_MICROSECOND_DIGITS = 6
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EPOCH_UNITS = {"epoch_s": 1_000_000, "epoch_ms": 1_000, "epoch_us": 1}
"""Microseconds of one unit."""
_EPOCH_DIGITS = 20
"""Digits of a number since 1970 that a calendar may have, in any unit: fewer than a decimal's context has (28)."""
_MAX_SHOWN = 60
"""Characters of a value that a reason quotes."""


class ContractViolationError(Exception):
    """The reason why a value is invalid."""


class JsonNumber(float):
    """A number of a JSON document with a fraction or an exponent, and the text that the document has for it."""

    __slots__ = ("text",)

    def __new__(cls, text: str) -> "JsonNumber":
        number = super().__new__(cls, text)
        number.text = text
        return number

    text: str


def read_value(column: Column, value: Any, max_length: int | None) -> Any:
    """Returns a value, which is not None, as its column stores it.

    Args:
        column: of the contract.
        value: as ``json.loads`` returns it, with fractions as ``JsonNumber`` where the type is exact.
        max_length: of a string, from ``Contract.max_lengths``.

    Raises:
        ContractViolationError: the value is invalid.
    """
    kind = column.data_type.kind
    if kind == "string":
        return _read_string(column, value, max_length)
    if kind == "array":
        return _read_array(column, column.data_type, value)
    return _READERS[kind](column, column.data_type, value)


def _read_string(column: Column, value: Any, max_length: int | None) -> str:
    text = _read_text(column, column.data_type, value)
    if max_length is not None and len(text) > max_length:
        raise _violation(column, f"longer than {max_length} characters", value)
    if column.min_length is not None and len(text) < column.min_length:
        raise _violation(column, f"shorter than {column.min_length} characters", value)
    if column.enum is not None and text not in column.enum:
        raise _violation(column, "not one of the values that the contract lists", value)
    if column.pattern is not None and not matches(column.pattern, text):
        raise _violation(column, "does not match the contract's pattern", value)
    return text


def _read_text(column: Column, data_type: DataType, value: Any) -> str:
    if not isinstance(value, str):
        raise _wrong_type(column, data_type, value)
    if not is_storable(value):
        raise ContractViolationError(f"{column.name}: holds a character that no text column can hold")
    return value


def _read_boolean(column: Column, data_type: DataType, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _wrong_type(column, data_type, value)
    return value


def _read_integer(column: Column, data_type: DataType, value: Any) -> int:
    low, high = INT_RANGES[data_type.kind]
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise _wrong_type(column, data_type, value)
    _check_range(column, value, value)
    return value


def _read_float(column: Column, data_type: DataType, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong_type(column, data_type, value)
    # The limits apply to the number that the column stores: a large integer is rounded before it is compared.
    try:
        # A zero has no sign: `-0` is the integer zero.
        number = float(value) + 0.0
    except OverflowError:
        raise _wrong_type(column, data_type, value) from None
    if not math.isfinite(number):
        raise _wrong_type(column, data_type, value)
    _check_range(column, number, value)
    return number


def _read_decimal(column: Column, data_type: DataType, value: Any) -> str:
    is_exact = isinstance(value, str | int | JsonNumber | Decimal) and not isinstance(value, bool)
    text = value.text if isinstance(value, JsonNumber) else str(value)
    if not is_exact or not _DECIMAL.fullmatch(text):
        raise _wrong_type(column, data_type, value)
    number = Decimal(text)
    _, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    significant = "".join(map(str, digits)).rstrip("0")
    # Zeros at the end of the fraction say nothing: 1.500 fits decimal(2, 1).
    fraction = max(0, -exponent - (len(digits) - len(significant))) if significant else 0
    if fraction > data_type.scale or (significant and number.adjusted() >= data_type.precision - data_type.scale):
        raise _wrong_type(column, data_type, value)
    _check_range(column, number, value)
    return f"{number:f}"


def _check_range(column: Column, number: Any, value: Any) -> None:
    for limit, word in ((column.minimum, "minimum"), (column.maximum, "maximum")):
        if limit is None:
            continue
        # A limit of 0.1 means a tenth, not the float that is nearest to it.
        bound = Decimal(str(limit)) if isinstance(number, Decimal) else limit
        if number < bound if word == "minimum" else number > bound:
            side = "below" if word == "minimum" else "above"
            raise ContractViolationError(f"{column.name}: {quote(value)} is {side} the {word} {limit:g}")


def _read_timestamp(column: Column, data_type: DataType, value: Any) -> int:
    moment = _epoch_microseconds(column, value) if column.is_epoch else _microseconds(column, value)
    if moment is None:
        raise _wrong_type(column, data_type, value)
    first, last = year_bounds(column.allowed_years)
    if not first <= moment <= last:
        raise _outside_years(column, value)
    return moment


@lru_cache
def year_bounds(years: Years) -> tuple[int, int]:
    """Returns the first and the last microsecond of a range of years, since 1970."""
    microsecond = timedelta(microseconds=1)
    return (years.first_moment - _EPOCH) // microsecond, (years.last_moment - _EPOCH) // microsecond


def _microseconds(column: Column, value: Any) -> int | None:
    """Returns a text's moment; None if it is not a timestamp. Digits beyond the microsecond are cut.

    In a column with a zone, a date is its midnight there.
    """
    if column.zone is not None and isinstance(value, str) and _DATE.fullmatch(value):
        value = f"{value}T00:00:00"
    match = _TIMESTAMP.fullmatch(value) if isinstance(value, str) else None
    if match is None or (match["zone"] is None and column.zone is None):
        return None
    fraction = int((match["fraction"] or ".0")[1 : _MICROSECOND_DIGITS + 1].ljust(_MICROSECOND_DIGITS, "0"))
    try:
        if match["zone"] is None:
            moment = datetime.fromisoformat(match["whole"]).replace(tzinfo=_zone(column.zone or ""))
            # At the ends of the calendar, there is no offset.
            offset = moment.utcoffset() or timedelta()
            moment = moment.replace(tzinfo=UTC)
        else:
            zoned = datetime.fromisoformat(match["whole"] + match["zone"].upper())
            offset = zoned.utcoffset() or timedelta()
            moment = zoned.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
    # In numbers, because a time zone can move a moment beyond Python's calendar.
    return (moment - _EPOCH - offset) // timedelta(microseconds=1) + fraction


@lru_cache
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def _epoch_microseconds(column: Column, value: Any) -> int | None:
    """Returns a number's moment; None if it is not a number. Fractions of a microsecond are cut."""
    unit = EPOCH_UNITS[column.format or ""]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, int):
        return value * unit
    number = Decimal(value.text if isinstance(value, JsonNumber) else repr(value))
    if not number.is_finite():
        return None
    # Far beyond any calendar, and quick to compare; the number itself may have a billion digits.
    if number and number.adjusted() > _EPOCH_DIGITS:
        return int(math.copysign(10 ** (_EPOCH_DIGITS + 1), number))
    whole = number.quantize(Decimal(1) / unit, ROUND_FLOOR)
    return int(whole * unit)


def _read_date(column: Column, data_type: DataType, value: Any) -> int:
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        raise _wrong_type(column, data_type, value)
    try:
        day = date.fromisoformat(value)
    except ValueError:
        raise _wrong_type(column, data_type, value) from None
    if not column.allowed_years.first <= day.year <= column.allowed_years.last:
        raise _outside_years(column, value)
    return day.toordinal() - _EPOCH.toordinal()


def _read_time(column: Column, data_type: DataType, value: Any) -> str:
    match = _TIME.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise _wrong_type(column, data_type, value)
    return match[0][:TIME_LENGTH]


def _read_uuid(column: Column, data_type: DataType, value: Any) -> str:
    if not isinstance(value, str) or not _UUID.fullmatch(value):
        raise _wrong_type(column, data_type, value)
    return str(UUID(value))


def _read_json(column: Column, _: DataType, value: Any) -> str:
    return "".join(_json_parts(column, value))


def _json_parts(column: Column, value: Any) -> Iterator[str]:
    """Yields a JSON document in pieces, with every number as the event has it."""
    if isinstance(value, JsonNumber):
        yield value.text
    elif isinstance(value, dict):
        separator = "{"
        for name, child in value.items():
            yield separator
            yield from _json_parts(column, name)
            yield ":"
            yield from _json_parts(column, child)
            separator = ","
        yield "}" if value else "{}"
    elif isinstance(value, list):
        separator = "["
        for child in value:
            yield separator
            yield from _json_parts(column, child)
            separator = ","
        yield "]" if value else "[]"
    else:
        if isinstance(value, str) and not is_storable(value):
            raise ContractViolationError(f"{column.name}: holds a character that no text column can hold")
        yield json.dumps(value, ensure_ascii=False)


def _read_array(column: Column, data_type: DataType, value: Any) -> str:
    item_type = data_type.item
    if not isinstance(value, list) or item_type is None:
        raise _wrong_type(column, data_type, value)
    read = _READERS[item_type.kind]
    items = ("NULL" if item is None else array_item(item_type, read(column, item_type, item)) for item in value)
    return "{" + ",".join(items) + "}"


def array_item(item_type: DataType, value: Any) -> str:
    """Returns an item as Postgres writes it within an array."""
    if item_type.kind == "timestamp":
        return f'"{_EPOCH + timedelta(microseconds=value)}"'
    if item_type.kind == "date":
        return date.fromordinal(value + _EPOCH.toordinal()).isoformat()
    if item_type.kind == "boolean":
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return repr(value)


_READERS: dict[str, Callable[[Column, DataType, Any], Any]] = {
    "string": _read_text,
    "boolean": _read_boolean,
    "int32": _read_integer,
    "int64": _read_integer,
    "float64": _read_float,
    "decimal": _read_decimal,
    "date": _read_date,
    "time": _read_time,
    "timestamp": _read_timestamp,
    "uuid": _read_uuid,
    "json": _read_json,
}


def _wrong_type(column: Column, data_type: DataType, value: Any) -> ContractViolationError:
    return ContractViolationError(f"{column.name}: expected {data_type}, found {quote(value)}")


def _violation(column: Column, problem: str, value: Any) -> ContractViolationError:
    return ContractViolationError(f"{column.name}: {problem}, found {quote(value)}")


def _outside_years(column: Column, value: Any) -> ContractViolationError:
    years = column.allowed_years
    return _violation(column, f"outside the years {years.first} to {years.last}", value)


def quote(value: Any) -> str:
    """Returns a value as JSON, cut for a reason."""
    return shorten(value.text if isinstance(value, JsonNumber) else json.dumps(value), _MAX_SHOWN)
