"""Tombstones: records with a key and no value, which delete the events of that key."""

import json
from typing import Any

from sluice.contracts.model import Column, Contract
from sluice.contracts.types import NUMERIC_TYPES
from sluice.contracts.values import ContractViolationError, JsonNumber, read_value


def read_key(contract: Contract, key: bytes | None) -> dict[str, Any]:
    """Returns the values of the contract's id by column, as ``read_value`` does.

    The key is an object that has them, as the keys of a change stream do: by the names at the ends of the columns'
    paths, and perhaps within ``payload``. The value of an id of one column may also be the key itself, as text or JSON.

    Args:
        contract: one with ``deletes``.
        key: of the record; if it has a schema id, then as ``decode_keys`` returns it.

    Raises:
        ContractViolationError: there is no key, or it does not have a value of each column.
    """
    if key is None:
        raise ContractViolationError("no value and no key")
    try:
        text = key.decode("utf-8")
    except UnicodeDecodeError:
        raise ContractViolationError("no value, and a key that is not UTF-8") from None
    try:
        document = json.loads(text, parse_float=JsonNumber)
    except (ValueError, RecursionError):
        document = text
    columns = [column for column in contract.columns if column.name in contract.id_columns]
    found = {column.name: _find(column, document, text, len(columns) == 1) for column in columns}
    if missing := [name for name, value in found.items() if value is None]:
        raise ContractViolationError(f"no value, and a key without {' and '.join(missing)}")
    return {
        column.name: read_value(column, found[column.name], contract.max_lengths[column.name]) for column in columns
    }


def _find(column: Column, document: Any, text: str, is_only: bool) -> Any:
    """Returns a column's value in a key; None if the key does not have it.

    Args:
        column: of the contract's id.
        document: the key, read as JSON if it is that.
        text: the key.
        is_only: whether the id has no other column.
    """
    if isinstance(document, dict):
        payload = document.get("payload")
        fields = payload if isinstance(payload, dict) else document
        return next((fields[path[-1]] for path in column.paths if path[-1] in fields), None)
    if not is_only:
        return None
    if not isinstance(document, str) and column.data_type.kind not in (*NUMERIC_TYPES, "boolean"):
        # Digits alone are a number in JSON, and may be a text.
        return text
    return document
