"""Tombstones: records with a key and no value, which delete the events of that key."""

import json
from typing import Any

from sluice.contracts.model import Column
from sluice.contracts.types import NUMERIC_TYPES
from sluice.contracts.values import ContractViolationError, JsonNumber, read_value


def read_key(column: Column, key: bytes | None, max_length: int | None) -> Any:
    """Returns the value of the key's column, as ``read_value`` does.

    The key is the value as text or as JSON, or an object that has it, as the keys of a change stream do: by the name at
    the end of the column's path, and perhaps within ``payload``.

    Args:
        column: the contract's ``key``.
        key: of the record.
        max_length: of a string, from ``Contract.max_length``.

    Raises:
        ContractViolationError: there is no key, or it is not a value of the column.
    """
    if key is None:
        raise ContractViolationError("no value and no key")
    try:
        text = key.decode("utf-8")
    except UnicodeDecodeError:
        raise ContractViolationError("no value, and a key that is not UTF-8") from None
    try:
        found = json.loads(text, parse_float=JsonNumber)
    except (ValueError, RecursionError):
        found = text
    if isinstance(found, dict):
        fields = found.get("payload", found)
        names = [path[-1] for path in column.paths]
        found = next((fields[name] for name in names if isinstance(fields, dict) and name in fields), None)
    elif not isinstance(found, str) and column.data_type.kind not in (*NUMERIC_TYPES, "boolean"):
        # Digits alone are a number in JSON, and may be a text.
        found = text
    if found is None:
        raise ContractViolationError(f"no value, and a key without {column.name}")
    return read_value(column, found, max_length)
