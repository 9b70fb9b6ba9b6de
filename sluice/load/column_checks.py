"""Checks parsed columns against their contract, whole columns at a time."""

import math
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sluice.contracts import Column, Contract
from sluice.contracts.bounds import INT_RANGES
from sluice.contracts.model import Years
from sluice.contracts.patterns import whole
from sluice.contracts.types import DataType
from sluice.contracts.validation import RECORD_YEARS
from sluice.contracts.values import DATE_PATTERN, TIME_LENGTH, TIME_PATTERN, TIMESTAMP_PATTERN, UUID_PATTERN
from sluice.load.arrow_types import ARROW_TYPES
from sluice.load.json_values import Mask, byte_view

_PATTERNS = {"timestamp": TIMESTAMP_PATTERN, "date": DATE_PATTERN, "time": TIME_PATTERN, "uuid": UUID_PATTERN}
_TIMES = ("date", "timestamp")
_PLAIN_TIME = b"0000-00-00T00:00:00Z"


def check_columns(contract: Contract, table: pa.Table, timestamps: pa.Array) -> tuple[pa.Table, Mask]:
    """Returns parsed rows in the contract's types, and per row whether it may be invalid (its values are then void).

    Args:
        contract: one that ``is_columnar``.
        table: from ``json_values.parse``.
        timestamps: of the records.
    """
    wrong = np.zeros(table.num_rows, np.bool_)
    columns = {column.name: check_column(contract, column, table[column.name], wrong) for column in contract.columns}
    check_record_times(contract, timestamps, wrong)
    return pa.table(columns), wrong


def check_column(contract: Contract, column: Column, values: pa.ChunkedArray, wrong: Mask) -> pa.ChunkedArray:
    """Returns values in the contract's type.

    Args:
        contract: of the column.
        column: one that is neither written as a number since 1970 nor has a zone.
        values: truth values, numbers or texts as the events have them; arrays and json as Postgres reads them.
        wrong: marks rows that are known to be invalid; others that may be invalid are marked, and their values void.
    """
    kind = column.data_type.kind
    if not column.nullable and values.null_count:
        wrong |= values.is_null().to_numpy()
    for failed in _failed_checks(contract, column, values):
        wrong |= pc.fill_null(failed, False).to_numpy()
    if kind in _TIMES:
        values = pc.if_else(wrong, None, values) if wrong.any() else values
        times = _cast_times(values, ARROW_TYPES[kind], wrong)
        wrong |= _outside_years(column, times)
        return times
    if kind == "float64":
        # A zero has no sign, as where a value is read by itself: `-0` is the integer zero there.
        return pc.add(values, 0.0)
    if kind == "time":
        return pc.utf8_slice_codeunits(values, 0, TIME_LENGTH)
    if kind == "uuid":
        return pc.ascii_lower(values)
    return values.cast(ARROW_TYPES[kind], safe=False)


def check_record_times(contract: Contract, timestamps: pa.Array, wrong: Mask) -> None:
    """Marks rows whose record's timestamp is their event time, and is missing or outside its years."""
    if contract.happens_at_record:
        wrong |= pc.fill_null(_is_outside(RECORD_YEARS, timestamps), True).to_numpy(zero_copy_only=False)


def _failed_checks(contract: Contract, column: Column, values: pa.ChunkedArray) -> Iterator[pa.ChunkedArray]:
    """Yields masks of wrong values; null where the value is null."""
    if column.type == "string":
        yield pc.match_substring(values, "\0")
        max_length = contract.max_lengths[column.name]
        # No text has more characters than bytes: the quick check nearly always suffices.
        if max_length is not None and (pc.max(pc.binary_length(values)).as_py() or 0) > max_length:
            yield pc.greater(pc.utf8_length(values), max_length)
        if column.min_length:
            yield pc.less(pc.utf8_length(values), column.min_length)
        if column.enum is not None:
            yield pc.invert(pc.is_in(values, pa.array([*column.enum, None], pa.string())))
        if column.pattern is not None:
            yield pc.invert(pc.match_substring_regex(values, whole(column.pattern)))
    elif column.type in _PATTERNS:
        if column.type != "timestamp" or not _are_plain_times(values):
            yield pc.invert(pc.match_substring_regex(values, whole(_PATTERNS[column.type])))
    elif column.data_type.kind == "decimal":
        plain = pc.match_substring_regex(values, whole(_decimal_pattern(column.data_type)))
        yield pc.invert(plain)
        if column.minimum is not None or column.maximum is not None:
            # Rounded to floats, two numbers keep their order, or become equal: those are compared one by one.
            numbers = pc.if_else(plain, values, None).cast(pa.float64())
            yield pc.less_equal(numbers, float(-math.inf if column.minimum is None else column.minimum))
            yield pc.greater_equal(numbers, float(math.inf if column.maximum is None else column.maximum))
    elif column.type == "float64":
        yield pc.invert(pc.is_finite(values))
    if column.type in INT_RANGES:
        # Integer limits, so that integers are compared: large ones would lose precision as floats.
        low, high = INT_RANGES[column.type]
        minimum = low if column.minimum is None else max(low, math.ceil(column.minimum))
        maximum = high if column.maximum is None else min(high, math.floor(column.maximum))
        if minimum > low or column.type == "int32":
            yield pc.less(values, pa.scalar(minimum, pa.int64()))
        if maximum < high or column.type == "int32":
            yield pc.greater(values, pa.scalar(maximum, pa.int64()))
    elif column.type == "float64":
        if column.minimum is not None:
            yield pc.less(values, column.minimum)
        if column.maximum is not None:
            yield pc.greater(values, column.maximum)


def _decimal_pattern(data_type: DataType) -> str:
    """Returns the pattern of numbers that fit a decimal, in their usual notation."""
    digits = data_type.precision - data_type.scale
    whole_part = f"(0|[1-9][0-9]{{0,{digits - 1}}})" if digits else "0"
    return rf"-?{whole_part}(\.[0-9]{{1,{data_type.scale}}})?" if data_type.scale else f"-?{whole_part}"


def _are_plain_times(values: pa.ChunkedArray) -> bool:
    """Returns whether all values look like 2013-01-31T23:59:59Z, the usual form; the cast checks the digits.

    This shortcut brings a chunk's checks from 0.30 CPU-seconds per million events, with the pattern, down to 0.16.
    """
    for chunk in values.chunks:
        if not len(chunk):
            continue
        bounds, data = byte_view(chunk)
        if chunk.null_count or (np.diff(bounds) != len(_PLAIN_TIME)).any():
            return False
        texts = data[bounds[0] : bounds[-1]].reshape(-1, len(_PLAIN_TIME))
        if any((texts[:, index] != byte).any() for index, byte in enumerate(_PLAIN_TIME) if byte != ord("0")):
            return False
    return True


def _cast_times(values: pa.ChunkedArray, kind: pa.DataType, wrong: Mask) -> pa.ChunkedArray:
    """Returns texts as dates or timestamps; a well-formed text that is not in the calendar becomes null and wrong."""
    try:
        return values.cast(kind)
    except pa.ArrowInvalid:
        if len(values) == 1:
            wrong[:] = True
            return pa.chunked_array([pa.nulls(1, kind)])
    middle = len(values) // 2
    parts = [
        _cast_times(values.slice(0, middle), kind, wrong[:middle]),
        _cast_times(values.slice(middle), kind, wrong[middle:]),
    ]
    return pa.chunked_array([chunk for part in parts for chunk in part.chunks], kind)


def _outside_years(column: Column, times: pa.ChunkedArray) -> Mask:
    """Returns which dates or timestamps are outside the column's years; a null is not."""
    result: Mask = pc.fill_null(_is_outside(column.allowed_years, times), False).to_numpy()
    return result


def _is_outside(years: Years, times: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray | pa.Array:
    """Returns which dates or timestamps are outside the years; null for a null."""
    moments = years.first_moment, years.last_moment
    first, last = moments if pa.types.is_timestamp(times.type) else [moment.date() for moment in moments]
    return pc.or_(pc.less(times, pa.scalar(first, times.type)), pc.greater(times, pa.scalar(last, times.type)))
