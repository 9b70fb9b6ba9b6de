"""Reads columns from objects: whole columns at once, and values that need a closer look one by one."""

from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Raw

from sluice.contracts import Column, Contract
from sluice.contracts.bounds import INT_RANGES
from sluice.contracts.types import DataType
from sluice.contracts.values import EPOCH_UNITS, ContractViolationError, array_item, read_value, year_bounds
from sluice.load.arrow_types import ARROW_TYPES, arrow_schema, stored_type
from sluice.load.column_checks import check_column, check_record_times
from sluice.load.json_objects import Objects, exact_value, json_texts
from sluice.load.json_values import Mask
from sluice.warehouse.alterations import DELETED

_FOUND_AS: dict[str, set[type]] = {
    "boolean": {bool},
    "int32": {int},
    "int64": {int},
    "float64": {int, Raw},
    "decimal": {int, Raw, str},
    "array": {list},
}
"""The types that an object's values have, by the kind of the column; those of all other kinds are texts."""


def read_object_columns(
    contract: Contract, objects: list[dict[str, Any]], timestamps: pa.Array
) -> tuple[pa.Table, Mask]:
    """Returns the contract's columns, and per object whether it is invalid (its values are then void).

    Args:
        contract: of the objects' stream.
        objects: from ``parse_objects``.
        timestamps: of the records.
    """
    found = Objects(objects)
    wrong = np.zeros(len(objects), np.bool_)
    columns = {}
    for column in contract.columns:
        columns[column.name], failed = _read_column(contract, column, found.first(column.paths))
        wrong |= failed
    if contract.deletes:
        columns[DELETED] = pa.nulls(len(objects), pa.bool_())
    check_record_times(contract, timestamps, wrong)
    return pa.table(columns, schema=arrow_schema(contract)), wrong


def _read_column(contract: Contract, column: Column, values: list[Any]) -> tuple[pa.Array, Mask]:
    """Returns the values in the contract's type, and which are invalid."""
    doubtful = np.zeros(len(values), np.bool_)
    array = _read_together(contract, column, values, doubtful)
    if not column.nullable:
        doubtful |= array.is_null().to_numpy(zero_copy_only=False)
    if not doubtful.any():
        return array, doubtful
    read, wrong = [], doubtful.copy()
    for index in np.flatnonzero(doubtful):
        value = None
        if values[index] is not None:
            try:
                value = read_value(column, exact_value(values[index]), contract.max_lengths[column.name])
                wrong[index] = False
            except ContractViolationError:
                pass
        read.append(value)
    return pc.replace_with_mask(array, doubtful, pa.array(read, stored_type(array.type)).cast(array.type)), wrong


def _read_together(contract: Contract, column: Column, values: list[Any], doubtful: Mask) -> pa.Array:
    """Returns the values in the contract's type, and marks those that may be invalid or another value."""
    kind = column.data_type.kind
    if kind == "json":
        array = json_texts(values)
        doubtful |= pc.fill_null(pc.match_substring(array, r"\u0000"), False).to_numpy(zero_copy_only=False)
    elif column.is_epoch:
        return _moments(column, _of_types(values, {int}, doubtful), doubtful)
    elif column.zone is not None:
        # Arrow's calendar of a zone is not Python's where a clock is set forward.
        doubtful |= [value is not None for value in values]
        return pa.nulls(len(values), ARROW_TYPES[kind])
    else:
        array = _convert(contract, column, _of_types(values, _FOUND_AS.get(kind, {str}), doubtful), doubtful)
    return check_column(contract, column, pa.chunked_array([array]), doubtful).combine_chunks()


def _of_types(values: list[Any], types: set[type], doubtful: Mask) -> list[Any]:
    """Returns the values that have one of the types, and None for the others, which are marked."""
    types = {*types, type(None)}
    if {*map(type, values)} <= types:
        return values
    doubtful |= [type(value) not in types for value in values]
    return [value if type(value) in types else None for value in values]


def _convert(contract: Contract, column: Column, values: list[Any], doubtful: Mask) -> pa.Array:
    """Returns the values in the type that ``check_column`` expects."""
    kind = column.data_type.kind
    if kind == "float64":
        return json_texts(values).cast(pa.float64())
    if kind == "decimal":
        return pc.utf8_trim(json_texts(values), '"')
    if kind == "array":
        return _arrays(contract, column, values, doubtful)
    if kind in INT_RANGES:
        return _integers(values, doubtful)
    return pa.array(values, pa.bool_() if kind == "boolean" else pa.string())


def _integers(values: list[Any], doubtful: Mask) -> pa.Array:
    try:
        return pa.array(values, pa.int64())
    except (OverflowError, pa.ArrowInvalid):
        low, high = INT_RANGES["int64"]
        fits = [value is None or low <= value <= high for value in values]
        doubtful |= np.logical_not(fits)
        return pa.array([value if fit else None for value, fit in zip(values, fits, strict=True)], pa.int64())


def _moments(column: Column, values: list[Any], doubtful: Mask) -> pa.Array:
    """Returns timestamps that are written as numbers."""
    unit = EPOCH_UNITS[column.format or ""]
    first, last = year_bounds(column.allowed_years)
    numbers = _integers(values, doubtful)
    outside = pc.or_(pc.less(numbers, -(-first // unit)), pc.greater(numbers, last // unit))
    doubtful |= pc.fill_null(outside, False).to_numpy(zero_copy_only=False)
    numbers = pc.if_else(doubtful, None, numbers)
    return pc.multiply(numbers, unit).cast(ARROW_TYPES["timestamp"])


def _arrays(contract: Contract, column: Column, values: list[Any], doubtful: Mask) -> pa.Array:
    """Returns arrays as Postgres' texts. Their items are read as one column."""
    item_type = column.data_type.item
    assert item_type is not None
    counts = [len(value) if value else 0 for value in values]
    items = [*chain.from_iterable(filter(None, values))]
    item_column = Column(name=column.name, type=str(item_type), description=column.description)
    read, wrong = _read_column(contract, item_column, items)
    doubtful[np.repeat(np.arange(len(values)), counts)[wrong]] = True
    texts = pc.fill_null(_item_texts(item_type, read), "NULL")
    joined = pc.binary_join(pa.ListArray.from_arrays(np.cumsum([0, *counts], dtype=np.int32), texts), ",")
    missing = pa.array([value is None for value in values])
    return pc.if_else(missing, None, pc.binary_join_element_wise("{", joined, "}", ""))


def _item_texts(item_type: DataType, items: pa.Array) -> pa.Array:
    """Returns the items as ``array_item`` writes them."""
    if item_type.kind in ("float64", "timestamp"):
        stored = items.cast(stored_type(items.type)).to_pylist()
        return pa.array([None if item is None else array_item(item_type, item) for item in stored], pa.string())
    if not pa.types.is_string(items.type):
        return items.cast(pa.string())
    for special in ("\\", '"'):
        items = pc.replace_substring(items, special, "\\" + special)
    return pc.binary_join_element_wise('"', items, '"', "")
