"""Validates one event against its contract, and gives the reason if the event is invalid.

This is the definition of a valid event. ``load/columns.py`` screens whole batches and has the suspects validated here,
so that reasons are written in one place only. The live view validates every event here.

The reasons are stored in ``raw.quarantine``, and ``ops.quarantine`` derives the kind of violation from their wording.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sluice.contracts import Column, Contract
from sluice.contracts.model import DEFAULT_YEARS
from sluice.contracts.paths import MISSING, fields_beside, first_value
from sluice.contracts.tombstones import read_key
from sluice.contracts.values import ContractViolationError, JsonNumber, quote, read_value
from sluice.escaping import escape, shorten

RECORD_YEARS = DEFAULT_YEARS["timestamp"]
"""The years of a record's timestamp, where that is the event time."""
_MAX_SHOWN = 60
"""Characters of a name that a reason quotes."""
_MAX_DEPTH = 200
"""How deep arrays and objects may be nested. Python's own limit depends on its caller: not always the same."""


@dataclass(frozen=True)
class Event:
    """A valid event."""

    values: Mapping[str, Any]
    """The values that its columns store, by column, as ``read_value`` returns them; None for null."""
    unknown: frozenset[str] = frozenset()
    """The fields of the object that no column is taken from, and those of objects that a column's path leads into."""
    is_tombstone: bool = False
    """Whether the record deletes the events of its key. Of the values, only those of its id are not None."""


def validate_event(
    contract: Contract, value: bytes | None, timestamp: datetime | None, key: bytes | None = None
) -> tuple[Event | None, str]:
    """Parses and validates one event.

    Args:
        contract: the stream's contract.
        value: the record's bytes.
        timestamp: the record's timestamp. A stream whose ``event_time`` is ``record`` needs it, and so do tombstones.
        key: the record's key, which a tombstone needs.

    Returns:
        The event and "" if it is valid, otherwise None and the reason. Fields that the contract does not declare are
        allowed.
    """
    try:
        if value is None and contract.deletes:
            return _tombstone(contract, key, timestamp), ""
        fields = parse(value, exact=contract.has_exact_numbers)
        values = {column.name: _read_column(contract, column, fields) for column in contract.columns}
        if contract.happens_at_record:
            _check_record_time(timestamp)
    except ContractViolationError as violation:
        return None, str(violation)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - one record must not stop its stream; the reason names the class.
        return None, f"cannot be read: {type(error).__name__}"
    return Event(values, unknown_fields(contract, fields)), ""


def unknown_fields(contract: Contract, event: dict[str, Any]) -> frozenset[str]:
    """Returns the fields that no column is taken from: the event's by their names, those further inside as paths.

    Args:
        contract: the stream's contract.
        event: as ``parse`` returns it.
    """
    if not contract.inner_fields:
        return frozenset() if event.keys() <= contract.fields else frozenset(event.keys() - contract.fields)
    return frozenset(fields_beside(event, contract.inner_fields).union(event.keys() - contract.fields))


def _tombstone(contract: Contract, key: bytes | None, timestamp: datetime | None) -> Event:
    _check_record_time(timestamp)
    values = dict.fromkeys((column.name for column in contract.columns), None) | read_key(contract, key)
    return Event(values, is_tombstone=True)


def _check_record_time(timestamp: datetime | None) -> None:
    if timestamp is None:
        raise ContractViolationError("the record has no timestamp")
    if not RECORD_YEARS.first <= timestamp.year <= RECORD_YEARS.last:
        raise ContractViolationError(
            f"the record's timestamp is outside the years {RECORD_YEARS.first} to {RECORD_YEARS.last}"
        )


def parse(value: bytes | None, *, exact: bool = False) -> dict[str, Any]:
    """Returns a value's fields.

    Args:
        value: a record's bytes.
        exact: whether numbers with a fraction or an exponent keep their text, as ``JsonNumber``.

    Raises:
        ContractViolationError: the value is not a JSON object, or has something that JSON does not allow (``Infinity``,
            a duplicate field).
    """
    if value is None:
        raise ContractViolationError("no value")
    try:
        event = json.loads(
            value.decode("utf-8"),
            object_pairs_hook=_unique_fields,
            parse_constant=_reject_constant,
            parse_float=JsonNumber if exact else None,
        )
    except UnicodeDecodeError as error:
        raise ContractViolationError(f"not JSON: not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise ContractViolationError(f"not JSON: {error.msg.removesuffix(' at')} at character {error.pos}") from None
    except ValueError as error:
        raise ContractViolationError(f"not JSON: {error}") from None
    except RecursionError:
        raise _too_deep() from None
    if is_too_deep(value, event):
        raise _too_deep()
    if not isinstance(event, dict):
        raise ContractViolationError(f"expected an object, found {quote(event)}")
    return event


def _unique_fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        counts = Counter(name for name, _ in pairs)
        repeated = next(name for name, count in counts.items() if count > 1)
        raise ContractViolationError(f"{shorten(escape(repeated), _MAX_SHOWN)}: given twice")
    return fields


def _too_deep() -> ContractViolationError:
    return ContractViolationError("not JSON: nested too deep")


def is_too_deep(value: bytes, found: Any) -> bool:
    """Returns whether a value's arrays and objects are nested deeper than any event may be.

    Args:
        value: a record's bytes.
        found: what is in it.
    """
    return value.count(b"[") + value.count(b"{") > _MAX_DEPTH and _depth(found) > _MAX_DEPTH


def _depth(value: Any) -> int:
    """Returns how deep arrays and objects are nested."""
    depth, level = 0, [value]
    while level := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        level = [child for item in level for child in (item.values() if isinstance(item, dict) else item)]
    return depth


def _reject_constant(name: str) -> None:
    raise ContractViolationError(f"not JSON: {name}")


def _read_column(contract: Contract, column: Column, fields: dict[str, Any]) -> Any:
    """Returns the value of a column; None for null, or if the event does not have it."""
    value = first_value(fields, column.paths)
    if value is not MISSING and value is not None:
        return read_value(column, value, contract.max_lengths[column.name])
    if not column.nullable:
        raise ContractViolationError(f"{column.name}: {'missing' if value is MISSING else 'null'}, but it is required")
    return None
