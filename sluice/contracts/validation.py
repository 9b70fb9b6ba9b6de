"""Validates one event against its contract, and gives the reason if the event is invalid.

This is the definition of a valid event. ``load/columns.py`` screens whole batches and has the suspects validated here,
so that reasons are written in one place only. The live view validates every event here.

The reasons are stored in ``raw.quarantine``, and ``ops.quarantine`` derives the kind of violation from their wording.
"""

import json
import math
import re
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sluice.contracts import NUMERIC_TYPES, Column, Contract
from sluice.contracts.bounds import INT_RANGES
from sluice.escaping import escape, shorten

_HOURS_MINUTES = "([01][0-9]|2[0-3]):[0-5][0-9]"
DATE_PATTERN = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
TIMESTAMP_PATTERN = rf"{DATE_PATTERN}T{_HOURS_MINUTES}:[0-5][0-9](\.[0-9]{{1,6}})?(Z|[+-]{_HOURS_MINUTES})"
"""RFC 3339, for whole texts. Digits are spelled out: in Python, `\\d` also matches those of other scripts."""

_TIMESTAMP = re.compile(TIMESTAMP_PATTERN)
_DATE = re.compile(DATE_PATTERN)
_MAX_SHOWN = 60
"""Characters of a value or a name that a reason quotes."""
_MAX_DEPTH = 200
"""How deep arrays and objects may be nested. Python's own limit depends on its caller: not always the same."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ContractViolationError(Exception):
    """The reason why a value is invalid."""


def validate_event(
    contract: Contract, value: bytes | None, timestamp: datetime | None
) -> tuple[dict[str, Any] | None, str]:
    """Parses and validates one event.

    Args:
        contract: the stream's contract.
        value: the record's bytes.
        timestamp: the record's timestamp. It must equal the event time to the millisecond, because the lake is
            partitioned by it.

    Returns:
        The event and "" if it is valid, otherwise None and the reason. Fields that the contract does not declare are
        allowed.
    """
    try:
        event = parse(value)
        for column in contract.columns:
            _validate_column(contract, column, event)
        _validate_timestamp(contract, event, timestamp)
    except ContractViolationError as violation:
        return None, str(violation)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - one record must not stop its stream; the reason names the class.
        return None, f"cannot be read: {type(error).__name__}"
    return event, ""


def parse(value: bytes | None) -> dict[str, Any]:
    """Returns a value's fields.

    Raises:
        ContractViolationError: the value is not a JSON object, or has something that JSON does not allow (``Infinity``,
            a duplicate field).
    """
    if value is None:
        raise ContractViolationError("no value")
    try:
        event = json.loads(value.decode("utf-8"), object_pairs_hook=_unique_fields, parse_constant=_reject_constant)
    except UnicodeDecodeError as error:
        raise ContractViolationError(f"not JSON: not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise ContractViolationError(f"not JSON: {error.msg.removesuffix(' at')} at character {error.pos}") from None
    except ValueError as error:
        raise ContractViolationError(f"not JSON: {error}") from None
    except RecursionError:
        raise _too_deep() from None
    if value.count(b"[") + value.count(b"{") > _MAX_DEPTH and _depth(event) > _MAX_DEPTH:
        raise _too_deep()
    if not isinstance(event, dict):
        raise ContractViolationError(f"expected an object, found {_quote(event)}")
    return event


def _unique_fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise ContractViolationError(f"{shorten(escape(repeated), _MAX_SHOWN)}: given twice")
    return fields


def _too_deep() -> ContractViolationError:
    return ContractViolationError("not JSON: nested too deep")


def _depth(value: Any) -> int:
    """Returns how deep arrays and objects are nested."""
    depth, level = 0, [value]
    while level := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        level = [child for item in level for child in (item.values() if isinstance(item, dict) else item)]
    return depth


def _reject_constant(name: str) -> None:
    raise ContractViolationError(f"not JSON: {name}")


def _validate_column(contract: Contract, column: Column, event: dict[str, Any]) -> None:
    value = event.get(column.name)
    if value is None:
        if not column.nullable:
            raise ContractViolationError(
                f"{column.name}: {'null' if column.name in event else 'missing'}, but it is required"
            )
    elif column.type == "string":
        _validate_string(column.name, value, contract.max_length(column))
    elif column.type == "boolean":
        if not isinstance(value, bool):
            raise _wrong_type(column, value)
    elif column.type in NUMERIC_TYPES:
        _validate_number(column, value)
    else:
        _validate_time(column, value)


def _wrong_type(column: Column, value: Any) -> ContractViolationError:
    return ContractViolationError(f"{column.name}: expected {column.type}, found {_quote(value)}")


def _validate_string(name: str, value: Any, max_length: int | None) -> None:
    if not isinstance(value, str):
        raise ContractViolationError(f"{name}: expected string, found {_quote(value)}")
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise ContractViolationError(f"{name}: holds a character that no text column can hold")
    if max_length is not None and len(value) > max_length:
        raise ContractViolationError(f"{name}: longer than {max_length} characters, found {_quote(value)}")


def _validate_number(column: Column, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong_type(column, value)
    number: float = value
    if column.type in INT_RANGES:
        low, high = INT_RANGES[column.type]
        if not isinstance(value, int) or not low <= value <= high:
            raise _wrong_type(column, value)
    else:
        # The limits apply to the number that the column stores: a large integer is rounded before it is compared.
        try:
            number = float(value)
        except OverflowError:
            raise _wrong_type(column, value) from None
        if not math.isfinite(number):
            raise _wrong_type(column, value)
    if column.minimum is not None and number < column.minimum:
        raise ContractViolationError(f"{column.name}: {_quote(value)} is below the minimum {column.minimum:g}")
    if column.maximum is not None and number > column.maximum:
        raise ContractViolationError(f"{column.name}: {_quote(value)} is above the maximum {column.maximum:g}")


def _validate_time(column: Column, value: Any) -> None:
    pattern = _TIMESTAMP if column.type == "timestamp" else _DATE
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise _wrong_type(column, value)
    years = column.allowed_years
    try:
        # Compared as it is: at the ends of the calendar, a conversion to UTC fails.
        if column.type == "timestamp":
            allowed = years.first_moment <= datetime.fromisoformat(value) <= years.last_moment
        else:
            allowed = years.first <= date.fromisoformat(value).year <= years.last
    except ValueError:
        raise _wrong_type(column, value) from None
    if not allowed:
        raise ContractViolationError(
            f"{column.name}: outside the years {years.first} to {years.last}, found {_quote(value)}"
        )


def _validate_timestamp(contract: Contract, event: dict[str, Any], timestamp: datetime | None) -> None:
    text = event[contract.event_time]
    if timestamp is None:
        raise ContractViolationError("the record has no timestamp")
    if _milliseconds(datetime.fromisoformat(text)) != _milliseconds(timestamp):
        raise ContractViolationError(
            f"{contract.event_time}: {text} is not the record's timestamp {timestamp.isoformat()}"
        )


def _milliseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def _quote(value: Any) -> str:
    return shorten(json.dumps(value), _MAX_SHOWN)
