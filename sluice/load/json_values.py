"""Parses JSON values with Arrow: many at once, around those that Arrow cannot parse."""

import re

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from sluice.contracts import Contract
from sluice.contracts.bounds import INT_RANGES

EXACT = {"boolean": pa.bool_(), "int32": pa.int64(), "int64": pa.int64(), "float64": pa.float64()}
"""The type that the parser reads a contract type as; all others are read as strings."""
_COLUMNAR = (*EXACT, "string", "date", "timestamp")
_LENIENT = EXACT | {"int32": pa.float64(), "int64": pa.float64()}
"""The same, but a fraction or an integer out of range does not end the parse."""
_ROW = re.compile(r" in row (\d+)$")
_UNEXPECTED = "unexpected field"
_BRACES = (ord("{"), ord("}"))
LINE_BREAK = ord("\n")

Mask = npt.NDArray[np.bool_]
RowIndices = npt.NDArray[np.int64]
"""Positions of values in their batch, ascending."""


def is_columnar(contract: Contract) -> bool:
    """Returns whether Arrow can parse the stream's values: each column is a field of the object, in a type it knows."""
    names = [column.paths[0] for column in contract.columns if len(column.paths) == 1 and len(column.paths[0]) == 1]
    return (
        len({*names}) == len(contract.columns)
        and not contract.deletes
        and all(column.type in _COLUMNAR and not column.is_epoch and column.zone is None for column in contract.columns)
    )


def is_plain(values: pa.Array) -> Mask:
    """Returns per value whether it may be one object on one line; the parser's rows are then in the values' order.

    A value that begins and ends like an object yields at least one row, so as many rows as values means one each.
    """
    bounds, data = byte_view(values)
    result = np.diff(bounds) >= len(_BRACES)
    if values.null_count:
        result &= values.is_valid().to_numpy(zero_copy_only=False)
    if not result.any():
        return result
    first, last = data[bounds[:-1][result]], data[bounds[1:][result] - 1]
    result[result] = (first == _BRACES[0]) & (last == _BRACES[1])
    breaks = np.flatnonzero(data[bounds[0] : bounds[-1]] == LINE_BREAK) + bounds[0]
    result[np.searchsorted(bounds, breaks, side="right") - 1] = False
    return result


def byte_view(values: pa.Array) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint8]]:
    """Returns where each value begins and ends in the bytes of its array, and the bytes, without a copy."""
    _, offsets, data = values.buffers()
    bounds = np.frombuffer(offsets, np.int32)[values.offset : values.offset + len(values) + 1]
    return bounds, np.frombuffer(data or b"", np.uint8)


def parse(contract: Contract, values: pa.Array, types: dict[str, pa.DataType], unexpected: str) -> pa.Table:
    """Returns the values as columns.

    Args:
        contract: defines the columns; one that ``is_columnar``.
        values: plain ones.
        types: Arrow type per contract type; types that are missing here are read as strings.
        unexpected: ``error`` or ``ignore``: how to treat a field that is not in the contract.

    Raises:
        pa.ArrowInvalid: they cannot be parsed as one object each; the message may end with the row.
    """
    names = [column.name for column in contract.columns]
    schema = pa.schema([(column.paths[0][0], types.get(column.type, pa.string())) for column in contract.columns])
    if not len(values):
        return schema.empty_table().rename_columns(names)
    lines = pc.binary_join(pa.ListArray.from_arrays([0, len(values)], values), b"\n")[0].as_buffer()
    table = pj.read_json(
        pa.BufferReader(lines),
        # One block, so that row numbers in error messages count from the first value.
        read_options=pj.ReadOptions(block_size=lines.size + 1, use_threads=False),
        parse_options=pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior=unexpected),
    )
    table.validate(full=True)
    if table.num_rows != len(values):
        raise pa.ArrowInvalid(f"{len(values)} values gave {table.num_rows} rows")
    return table.rename_columns(names)


def parse_around(contract: Contract, values: pa.Array, plain: RowIndices) -> tuple[pa.Table, RowIndices, bool]:
    """Parses those plain values that Arrow can parse.

    Args:
        contract: defines the columns.
        values: all values of a chunk.
        plain: positions of its plain values.

    Returns:
        The rows; the positions of their values; whether any value has a field that is not in the contract.
    """
    tables, parsed = [parse(contract, values.slice(0, 0), EXACT, "error")], [plain[:0]]
    unexpected = "error"
    pending = [plain]
    while pending:
        row_indices = pending.pop()
        if not len(row_indices):
            continue
        part = values.take(pa.array(row_indices))
        try:
            tables.append(parse(contract, part, EXACT, unexpected))
            parsed.append(row_indices)
        except pa.ArrowInvalid as error:
            message = str(error).splitlines()[0]
            row = _ROW.search(message)
            if message.endswith(_UNEXPECTED) and unexpected == "error":
                unexpected = "ignore"
                pending.append(row_indices)
            elif row and int(row[1]) < len(row_indices):
                pending += [row_indices[int(row[1]) + 1 :], row_indices[: int(row[1])]]
            elif len(row_indices) > 1:
                pending += _split(contract, part, row_indices, unexpected)
    return pa.concat_tables(tables).combine_chunks(), np.concatenate(parsed), unexpected == "ignore"


def _split(contract: Contract, values: pa.Array, row_indices: RowIndices, unexpected: str) -> list[RowIndices]:
    """Returns what to parse instead of values that fail together, when the parser does not name the row.

    The cause is usually a number out of its column's range: parsed as floats, such numbers can be found and left out.
    Otherwise the values are halved.
    """
    try:
        table = parse(contract, values, _LENIENT, unexpected)
    except pa.ArrowInvalid:
        pass
    else:
        whole = np.ones(len(values), np.bool_)
        for column in contract.columns:
            if column.type in INT_RANGES:
                numbers = table[column.name].to_numpy()
                with np.errstate(invalid="ignore"):
                    whole &= np.isnan(numbers) | ((np.floor(numbers) == numbers) & (np.abs(numbers) < 2.0**63))
        if not whole.all():
            return [row_indices[whole]]
    middle = len(row_indices) // 2
    return [row_indices[middle:], row_indices[:middle]]
