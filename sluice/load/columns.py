"""Values to typed columns: a batch at once, and what does not fit one by one."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from sluice.contracts import Column, Contract
from sluice.load.check import DATE_PATTERN, INT_RANGES, TIMESTAMP_PATTERN, read_event

_CHUNK = 16_384
"""Rows that are parsed together. A bad one sends its chunk's rows through the check one by one."""
_BLOCK = 1 << 20
_JSON_TYPES = {"boolean": pa.bool_(), "int32": pa.int64(), "int64": pa.int64(), "float64": pa.float64()}
_ARROW_TYPES = {
    "string": pa.string(),
    "boolean": pa.bool_(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", tz="UTC"),
}


@dataclass(frozen=True)
class Columns:
    """A batch of values, read."""

    rows: pa.Table
    """The contract's columns, for the values that fit, in their order."""
    fits: pa.Array
    """Per value, whether it fits (boolean, without nulls)."""
    reasons: list[str]
    """Why not, for each that does not, in their order."""


def read_columns(contract: Contract, values: pa.ChunkedArray, timestamps: pa.ChunkedArray) -> Columns:
    """Parses and checks JSON values against the contract.

    Args:
        contract: what the values have to be.
        values: binary, null allowed.
        timestamps: the records' own, in microseconds UTC, null allowed; as many as values.
    """
    parts = [
        _read_chunk(
            contract,
            values.slice(start, _CHUNK).combine_chunks(),
            timestamps.slice(start, _CHUNK).combine_chunks(),
        )
        for start in range(0, len(values), _CHUNK)
    ]
    schema = pa.schema([(column.name, _ARROW_TYPES[column.type]) for column in contract.columns])
    return Columns(
        pa.concat_tables([schema.empty_table(), *(part.rows for part in parts)]),
        pa.concat_arrays([pa.array([], pa.bool_()), *(part.fits for part in parts)]),
        [reason for part in parts for reason in part.reasons],
    )


def _read_chunk(contract: Contract, values: pa.Array, timestamps: pa.Array) -> Columns:
    table = _parse(contract, values) if _is_one_object_each(values) else None
    if table is not None:
        suspects = _suspects(contract, table, timestamps)
        if not suspects.any():
            return Columns(_typed(contract, table), pa.array(np.ones(len(values), np.bool_)), [])
    else:
        suspects = np.ones(len(values), np.bool_)
    return _read_singly(contract, values, timestamps, suspects)


def _read_singly(
    contract: Contract, values: pa.Array, timestamps: pa.Array, suspects: "np.ndarray[Any, np.dtype[np.bool_]]"
) -> Columns:
    fits = ~suspects
    reasons = []
    good = values.to_pylist()
    for index in np.flatnonzero(suspects):
        event, reason = read_event(contract, good[index], timestamps[int(index)].as_py())
        if event is None:
            reasons.append(reason)
        else:
            fits[index] = True
            # Written again, on one line: what came may hold line breaks.
            known = {column.name: event.get(column.name) for column in contract.columns}
            good[index] = json.dumps(known, ensure_ascii=False).encode()
    kept = pa.array([value for value, fit in zip(good, fits, strict=True) if fit], pa.binary())
    table = _parse(contract, kept)
    if table is None:
        raise AssertionError(f"{contract.stream}: values that passed the check one by one cannot be read together")
    return Columns(_typed(contract, table), pa.array(fits), reasons)


def _is_one_object_each(values: pa.Array) -> bool:
    """Whether each value may be one line of JSON: the parser's rows then stand in the values' order.

    A value that begins and ends as an object gives at least one row, so as many rows as values means one each.
    """
    if values.null_count or not len(values):
        return False
    text = values.view(pa.string())
    return bool(
        pc.all(pc.and_(pc.starts_with(text, "{"), pc.ends_with(text, "}"))).as_py()
        and not pc.any(pc.match_substring(text, "\n")).as_py()
    )


def _parse(contract: Contract, values: pa.Array) -> pa.Table | None:
    """The values as columns of JSON's own types; None where they cannot be read as one object each."""
    schema = pa.schema([(column.name, _JSON_TYPES.get(column.type, pa.string())) for column in contract.columns])
    if not len(values):
        return schema.empty_table()
    lines = pc.binary_join(pa.ListArray.from_arrays([0, len(values)], values), b"\n")[0].as_buffer()
    longest = pc.max(pc.binary_length(values)).as_py()
    try:
        table = pj.read_json(
            pa.BufferReader(lines),
            read_options=pj.ReadOptions(block_size=max(_BLOCK, 2 * longest)),
            parse_options=pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
        )
        table.validate(full=True)
    except pa.ArrowInvalid:
        return None
    return table if table.num_rows == len(values) else None


def _suspects(contract: Contract, table: pa.Table, timestamps: pa.Array) -> "np.ndarray[Any, np.dtype[np.bool_]]":
    """Which rows may not fit their contract."""
    found = np.zeros(table.num_rows, np.bool_)
    for column in contract.columns:
        wrong = _wrong(column, table[column.name])
        if wrong is not None:
            found |= pc.fill_null(wrong, False).to_numpy()
    for column in contract.columns:
        if column.type in ("date", "timestamp") and not found.any():
            try:
                table[column.name].cast(_ARROW_TYPES[column.type])
            except pa.ArrowInvalid:
                # A date that has the form but is in no calendar; the check tells which rows.
                found[:] = True
    if not found.any():
        times = table[contract.event_time].cast(_ARROW_TYPES["timestamp"])
        same = pc.equal(pc.floor_temporal(times, unit="millisecond"), pc.floor_temporal(timestamps, unit="millisecond"))
        found = pc.invert(pc.fill_null(same, False)).to_numpy()
    return found


def _wrong(column: Column, values: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """Per value, whether it is wrong; null where it is null and may be. None where nothing is to be checked."""
    tests = []
    if column.type == "string":
        tests.append(pc.match_substring(values, "\0"))
    elif column.type == "timestamp":
        tests.append(pc.invert(pc.match_substring_regex(values, TIMESTAMP_PATTERN)))
    elif column.type == "date":
        tests.append(pc.invert(pc.match_substring_regex(values, DATE_PATTERN)))
    elif column.type == "float64":
        tests.append(pc.invert(pc.is_finite(values)))
    low, high = INT_RANGES["int32"] if column.type == "int32" else (None, None)
    for limit in (low, column.minimum):
        if limit is not None:
            tests.append(pc.less(values, limit))
    for limit in (high, column.maximum):
        if limit is not None:
            tests.append(pc.greater(values, limit))
    if not column.nullable and values.null_count:
        tests.append(pc.is_null(values))
    result = None
    for test in tests:
        test = pc.fill_null(test, False)
        result = test if result is None else pc.or_(result, test)
    return result


def _typed(contract: Contract, table: pa.Table) -> pa.Table:
    return pa.table({column.name: table[column.name].cast(_ARROW_TYPES[column.type]) for column in contract.columns})
