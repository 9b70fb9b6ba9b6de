"""One event against its contract, and the reason where it does not fit.

This is the definition of a good event. ``load/columns.py`` finds suspects for whole batches at once and asks here about
each of them, so that a reason is written in one place; the live view asks about every event.
"""

import json
import math
import re
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sluice.contracts import NUMERIC_TYPES, Column, Contract

TIMESTAMP_PATTERN = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?(Z|[+-]\d{2}:\d{2})$"
DATE_PATTERN = r"^\d{4}-\d{2}-\d{2}$"
INT_RANGES = {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1)}

_TIMESTAMP = re.compile(TIMESTAMP_PATTERN)
_DATE = re.compile(DATE_PATTERN)
_SHOWN = 60
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ContractViolationError(Exception):
    """Why a value does not fit."""


def validate_event(
    contract: Contract, value: bytes | None, timestamp: datetime | None
) -> tuple[dict[str, Any] | None, str]:
    """Reads one event's value.

    Args:
        contract: what it has to be.
        value: the record's bytes.
        timestamp: the record's own; it must be the event's time, to the millisecond, since dates are kept by it.

    Returns:
        The event, and ""; or None, and the reason why it does not fit its contract. Fields that the contract does not
        know are no fault.
    """
    try:
        event = parse(value)
        for column in contract.columns:
            _check(column, event)
        _check_timestamp(contract, event, timestamp)
    except ContractViolationError as unfit:
        return None, str(unfit)
    return event, ""


def parse(value: bytes | None) -> dict[str, Any]:
    """A value's fields.

    Raises:
        ContractViolationError: it is no JSON object, or holds what JSON does not have (``Infinity``, a field twice).
    """
    if value is None:
        raise ContractViolationError("no value")
    try:
        event = json.loads(value.decode("utf-8"), object_pairs_hook=_object, parse_constant=_constant)
    except UnicodeDecodeError as error:
        raise ContractViolationError(f"not JSON: not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise ContractViolationError(f"not JSON: {error.msg.removesuffix(' at')} at character {error.pos}") from None
    except ValueError as error:
        raise ContractViolationError(f"not JSON: {error}") from None
    except RecursionError:
        raise ContractViolationError("not JSON: nested too deep") from None
    if not isinstance(event, dict):
        raise ContractViolationError(f"expected an object, found {_shown(event)}")
    return event


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        names = [name for name, _ in pairs]
        raise ContractViolationError(f"{next(name for name in names if names.count(name) > 1)}: given twice")
    return fields


def _constant(name: str) -> None:
    raise ContractViolationError(f"not JSON: {name}")


def _check(column: Column, event: dict[str, Any]) -> None:
    value = event.get(column.name)
    if value is None:
        if not column.nullable:
            raise ContractViolationError(
                f"{column.name}: {'null' if column.name in event else 'missing'}, but it is required"
            )
        return
    wrong = ContractViolationError(f"{column.name}: expected {column.type}, found {_shown(value)}")
    if column.type == "string":
        if not isinstance(value, str):
            raise wrong
        if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
            raise ContractViolationError(f"{column.name}: holds a character that no text column can hold")
    elif column.type == "boolean":
        if not isinstance(value, bool):
            raise wrong
    elif column.type in INT_RANGES:
        low, high = INT_RANGES[column.type]
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise wrong
    elif column.type == "float64":
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise wrong
    elif not isinstance(value, str) or not _is_time(column.type, value):
        raise wrong
    if column.type in NUMERIC_TYPES and isinstance(value, int | float):
        if column.minimum is not None and value < column.minimum:
            raise ContractViolationError(f"{column.name}: {_shown(value)} is below the minimum {column.minimum:g}")
        if column.maximum is not None and value > column.maximum:
            raise ContractViolationError(f"{column.name}: {_shown(value)} is above the maximum {column.maximum:g}")


def _check_timestamp(contract: Contract, event: dict[str, Any], timestamp: datetime | None) -> None:
    text = event[contract.event_time]
    if timestamp is None:
        raise ContractViolationError("the record has no timestamp")
    if _milliseconds(datetime.fromisoformat(text)) != _milliseconds(timestamp):
        raise ContractViolationError(
            f"{contract.event_time}: {text} is not the record's timestamp {timestamp.isoformat()}"
        )


def _milliseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def _is_time(kind: str, text: str) -> bool:
    pattern, read = (_TIMESTAMP, datetime.fromisoformat) if kind == "timestamp" else (_DATE, date.fromisoformat)
    if not pattern.match(text):
        return False
    try:
        read(text)
    except ValueError:
        return False
    return True


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
