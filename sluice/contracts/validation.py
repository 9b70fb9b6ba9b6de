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

TIMESTAMP_PATTERN = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?(Z|[+-]\d{2}:\d{2})$"
DATE_PATTERN = r"^\d{4}-\d{2}-\d{2}$"

_TIMESTAMP = re.compile(TIMESTAMP_PATTERN)
_DATE = re.compile(DATE_PATTERN)
_MAX_SHOWN = 60
"""Characters of a value that a reason quotes."""
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
            _validate_column(column, event)
        _validate_timestamp(contract, event, timestamp)
    except ContractViolationError as violation:
        return None, str(violation)
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
        raise ContractViolationError("not JSON: nested too deep") from None
    if not isinstance(event, dict):
        raise ContractViolationError(f"expected an object, found {_quote(event)}")
    return event


def _unique_fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        names = [name for name, _ in pairs]
        raise ContractViolationError(f"{next(name for name in names if names.count(name) > 1)}: given twice")
    return fields


def _reject_constant(name: str) -> None:
    raise ContractViolationError(f"not JSON: {name}")


def _validate_column(column: Column, event: dict[str, Any]) -> None:
    value = event.get(column.name)
    if value is None:
        if not column.nullable:
            raise ContractViolationError(
                f"{column.name}: {'null' if column.name in event else 'missing'}, but it is required"
            )
        return
    wrong_type = ContractViolationError(f"{column.name}: expected {column.type}, found {_quote(value)}")
    if column.type == "string":
        if not isinstance(value, str):
            raise wrong_type
        if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
            raise ContractViolationError(f"{column.name}: holds a character that no text column can hold")
    elif column.type == "boolean":
        if not isinstance(value, bool):
            raise wrong_type
    elif column.type in INT_RANGES:
        low, high = INT_RANGES[column.type]
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise wrong_type
    elif column.type == "float64":
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise wrong_type
    elif not isinstance(value, str) or not _is_date_or_timestamp(column.type, value):
        raise wrong_type
    if column.type in NUMERIC_TYPES and isinstance(value, int | float):
        if column.minimum is not None and value < column.minimum:
            raise ContractViolationError(f"{column.name}: {_quote(value)} is below the minimum {column.minimum:g}")
        if column.maximum is not None and value > column.maximum:
            raise ContractViolationError(f"{column.name}: {_quote(value)} is above the maximum {column.maximum:g}")


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


def _is_date_or_timestamp(column_type: str, text: str) -> bool:
    is_timestamp = column_type == "timestamp"
    pattern, parse_iso = (_TIMESTAMP, datetime.fromisoformat) if is_timestamp else (_DATE, date.fromisoformat)
    if not pattern.match(text):
        return False
    try:
        parse_iso(text)
    except ValueError:
        return False
    return True


def _quote(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"
