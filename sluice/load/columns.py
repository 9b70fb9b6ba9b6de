"""Values to typed columns: a batch at once, and what does not fit one by one."""

import json
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from sluice.contracts import Column, Contract
from sluice.contracts.validation import (
    DATE_PATTERN,
    INT_RANGES,
    TIMESTAMP_PATTERN,
    ContractViolationError,
    parse,
    validate_event,
)

_CHUNK = 16_384
_CHUNK_BYTES = 16 << 20
"""Rows, and about how many bytes of them, that are parsed together. A bad one costs its chunk a second, closer look."""
_ARROW_TYPES = {
    "string": pa.string(),
    "boolean": pa.bool_(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", tz="UTC"),
}
_EXACT = {"boolean": pa.bool_(), "int32": pa.int64(), "int64": pa.int64(), "float64": pa.float64()}
"""What the parser makes of a type's values; strings of all others."""
_LENIENT = _EXACT | {"int32": pa.float64(), "int64": pa.float64()}
"""The same, so that a fraction or a number beyond all bounds does not end the parse."""
_PATTERNS = {"timestamp": TIMESTAMP_PATTERN, "date": DATE_PATTERN}
_ROW = re.compile(r" in row (\d+)$")
_UNEXPECTED = "unexpected field"
_BRACES = (ord("{"), ord("}"))
_LINE_BREAK = ord("\n")
_PLAIN_TIME = b"0000-00-00T00:00:00Z"

Mask = npt.NDArray[np.bool_]
RowIndices = npt.NDArray[np.int64]
"""Where values stand in their batch, ascending."""


@dataclass(frozen=True)
class Columns:
    """A batch of values, read."""

    rows: pa.Table
    """The contract's columns, for the values that fit, in their order."""
    fits: pa.Array
    """Per value, whether it fits (boolean, without nulls)."""
    reasons: list[str]
    """Why not, for each that does not, in their order."""
    unknown: dict[str, RowIndices] = field(default_factory=dict)
    """Per field that the contract does not name, which of the values that fit hold it."""


def read_columns(
    contract: Contract,
    values: pa.ChunkedArray,
    timestamps: pa.ChunkedArray,
    each: Callable[..., Iterator[Columns]] = map,
) -> Columns:
    """Parses and checks JSON values against the contract.

    Args:
        contract: what the values have to be.
        values: binary, null allowed.
        timestamps: the records' own, in microseconds UTC, null allowed; as many as values.
        each: applies a function to the chunks and keeps their order; an executor's ``map`` reads several at once.
    """
    table = pa.table({"value": values, "timestamp": timestamps})
    size = max(1, min(_CHUNK, _CHUNK_BYTES * len(values) // max(values.nbytes, 1)))
    if values.num_chunks > 2 * (len(values) // size + 1):
        # From many small files.
        table = table.combine_chunks()
    chunks = table.to_batches(max_chunksize=size)
    parts = list(each(lambda chunk: _read_chunk(contract, *chunk.columns), chunks))
    starts = np.cumsum([0, *(chunk.num_rows for chunk in chunks)])[:-1]
    unknown: dict[str, list[RowIndices]] = defaultdict(list)
    for start, part in zip(starts, parts, strict=True):
        for name, places in part.unknown.items():
            unknown[name].append(places + start)
    schema = pa.schema([(column.name, _ARROW_TYPES[column.type]) for column in contract.columns])
    return Columns(
        pa.concat_tables([schema.empty_table(), *(part.rows for part in parts)]),
        pa.concat_arrays([pa.array([], pa.bool_()), *(part.fits for part in parts)]),
        [reason for part in parts for reason in part.reasons],
        {name: np.concatenate(places) for name, places in unknown.items()},
    )


def _read_chunk(contract: Contract, values: pa.Array, timestamps: pa.Array) -> Columns:
    plain = _is_plain(values)
    if plain.all():
        try:
            table = _parse(contract, values, _EXACT, "error")
        except pa.ArrowInvalid:
            pass
        else:
            rows, wrong = _validate(contract, table, timestamps)
            if not wrong.any():
                return Columns(rows, pa.array(~wrong), [])
    return _parse_with_fallback(contract, values, timestamps, plain)


def _parse_with_fallback(contract: Contract, values: pa.Array, timestamps: pa.Array, plain: Mask) -> Columns:
    """As much as can be at once, around what cannot; that goes through the check one by one."""
    table, places, drifts = _parse_around(contract, values, np.flatnonzero(plain))
    rows, wrong = _validate(contract, table, timestamps.take(pa.array(places)))
    unknown: dict[str, list[int]] = defaultdict(list)
    if drifts:
        _find_unknown(contract, values, places, wrong, unknown)
    rows = rows.filter(pa.array(~wrong))
    fits = np.zeros(len(values), np.bool_)
    fits[places[~wrong]] = True
    together, singly, lines, reasons = places[~wrong], [], [], []
    for place in np.flatnonzero(~fits):
        event, reason = validate_event(contract, values[int(place)].as_py(), timestamps[int(place)].as_py())
        if event is None:
            reasons.append(reason)
            continue
        # Written again, on one line: what came may hold line breaks.
        known = {column.name: event.pop(column.name, None) for column in contract.columns}
        lines.append(json.dumps(known, ensure_ascii=False).encode())
        singly.append(int(place))
        for name in event:
            unknown[name].append(int(place))
    if singly:
        table = _parse(contract, pa.array(lines, pa.binary()), _EXACT, "error")
        read, wrong = _validate(contract, table, timestamps.take(pa.array(singly)))
        if wrong.any():
            raise AssertionError(f"{contract.stream}: values that passed the check one by one fail it together")
        order = np.argsort(np.concatenate([together, singly]))
        rows = pa.concat_tables([rows, read]).take(pa.array(order))
        fits[singly] = True
    found = {name: np.array(sorted(held), np.int64) for name, held in unknown.items()}
    return Columns(rows, pa.array(fits), reasons, found)


def _find_unknown(
    contract: Contract, values: pa.Array, places: RowIndices, wrong: Mask, unknown: dict[str, list[int]]
) -> None:
    """Notes the fields that the contract does not name; Arrow reads more than JSON there, which is wrong."""
    known = {column.name for column in contract.columns}
    for index in np.flatnonzero(~wrong):
        place = int(places[index])
        try:
            names = parse(values[place].as_py()).keys() - known
        except ContractViolationError:
            wrong[index] = True
            continue
        for name in names:
            unknown[name].append(place)


def _is_plain(values: pa.Array) -> Mask:
    """Per value, whether it may be one object on one line: the parser's rows then stand in the values' order.

    A value that begins and ends as an object gives at least one row, so as many rows as values means one each.
    """
    bounds, octets = _byte_view(values)
    result = np.diff(bounds) >= len(_BRACES)
    if values.null_count:
        result &= values.is_valid().to_numpy(zero_copy_only=False)
    if not result.any():
        return result
    first, last = octets[bounds[:-1][result]], octets[bounds[1:][result] - 1]
    result[result] = (first == _BRACES[0]) & (last == _BRACES[1])
    breaks = np.flatnonzero(octets[bounds[0] : bounds[-1]] == _LINE_BREAK) + bounds[0]
    result[np.searchsorted(bounds, breaks, side="right") - 1] = False
    return result


def _byte_view(values: pa.Array) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint8]]:
    """Where values begin and end among the octets of their array, and these, without a copy."""
    _, ends, data = values.buffers()
    bounds = np.frombuffer(ends, np.int32)[values.offset : values.offset + len(values) + 1]
    return bounds, np.frombuffer(data or b"", np.uint8)


def _parse(contract: Contract, values: pa.Array, types: dict[str, pa.DataType], unexpected: str) -> pa.Table:
    """The values as columns.

    Args:
        contract: names the columns.
        values: plain ones.
        types: per contract type, what is read; strings where it is not named.
        unexpected: ``error`` or ``ignore``: what to do at a field that the contract does not name.

    Raises:
        pa.ArrowInvalid: they cannot be read as one object each; the message may end with the row.
    """
    schema = pa.schema([(column.name, types.get(column.type, pa.string())) for column in contract.columns])
    if not len(values):
        return schema.empty_table()
    lines = pc.binary_join(pa.ListArray.from_arrays([0, len(values)], values), b"\n")[0].as_buffer()
    table = pj.read_json(
        pa.BufferReader(lines),
        # One block, so that a row's number in a message counts from the first value.
        read_options=pj.ReadOptions(block_size=lines.size + 1, use_threads=False),
        parse_options=pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior=unexpected),
    )
    table.validate(full=True)
    if table.num_rows != len(values):
        raise pa.ArrowInvalid(f"{len(values)} values gave {table.num_rows} rows")
    return table


def _parse_around(contract: Contract, values: pa.Array, plain: RowIndices) -> tuple[pa.Table, RowIndices, bool]:
    """Parses what can be parsed of plain values.

    Args:
        contract: names the columns.
        values: all of a chunk.
        plain: where its plain values stand.

    Returns:
        The rows; where their values stand; whether any field is there that the contract does not name.
    """
    tables, read = [_parse(contract, values.slice(0, 0), _EXACT, "error")], [plain[:0]]
    unexpected = "error"
    left = [plain]
    while left:
        places = left.pop()
        if not len(places):
            continue
        texts = values.take(pa.array(places))
        try:
            tables.append(_parse(contract, texts, _EXACT, unexpected))
            read.append(places)
        except pa.ArrowInvalid as error:
            message = str(error).splitlines()[0]
            row = _ROW.search(message)
            if message.endswith(_UNEXPECTED) and unexpected == "error":
                unexpected = "ignore"
                left.append(places)
            elif row and int(row[1]) < len(places):
                left += [places[int(row[1]) + 1 :], places[: int(row[1])]]
            elif len(places) > 1:
                left += _parted(contract, texts, places, unexpected)
    return pa.concat_tables(tables).combine_chunks(), np.concatenate(read), unexpected == "ignore"


def _parted(contract: Contract, values: pa.Array, places: RowIndices, unexpected: str) -> list[RowIndices]:
    """What is to be tried in place of values that cannot be read together, where the parser names no row.

    That is mostly a number that its column cannot hold: parsed as floats, such numbers can be told and left out.
    Otherwise it is the halves.
    """
    try:
        table = _parse(contract, values, _LENIENT, unexpected)
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
            return [places[whole]]
    middle = len(places) // 2
    return [places[middle:], places[:middle]]


def _validate(contract: Contract, table: pa.Table, timestamps: pa.Array) -> tuple[pa.Table, Mask]:
    """Parsed rows as the contract's types, and per row whether it may not fit; what is there for such a row is void."""
    wrong = np.zeros(table.num_rows, np.bool_)
    columns = {}
    for column in contract.columns:
        values = table[column.name]
        if not column.nullable and values.null_count:
            wrong |= values.is_null().to_numpy()
        for test in _tests(column, values):
            wrong |= pc.fill_null(test, False).to_numpy()
        if column.type in _PATTERNS:
            values = pc.if_else(wrong, None, values) if wrong.any() else values
            columns[column.name] = _times(values, _ARROW_TYPES[column.type], wrong)
        else:
            columns[column.name] = values.cast(_ARROW_TYPES[column.type], safe=False)
    wrong |= _milliseconds(columns[contract.event_time]) != _milliseconds(timestamps)
    wrong |= pc.is_null(timestamps).to_numpy(zero_copy_only=False)
    return pa.table(columns), wrong


def _tests(column: Column, values: pa.ChunkedArray) -> Iterator[pa.ChunkedArray]:
    """Per value, whether it is wrong; null where it is null."""
    if column.type == "string":
        yield pc.match_substring(values, "\0")
    elif column.type in _PATTERNS:
        if column.type == "date" or not _are_plain_times(values):
            yield pc.invert(pc.match_substring_regex(values, _PATTERNS[column.type]))
    elif column.type == "float64":
        yield pc.invert(pc.is_finite(values))
    if column.type in INT_RANGES:
        # Whole limits, so that whole numbers are compared: as floats, large ones would not be what they are.
        low, high = INT_RANGES[column.type]
        least = low if column.minimum is None else max(low, math.ceil(column.minimum))
        most = high if column.maximum is None else min(high, math.floor(column.maximum))
        if least > low or column.type == "int32":
            yield pc.less(values, pa.scalar(least, pa.int64()))
        if most < high or column.type == "int32":
            yield pc.greater(values, pa.scalar(most, pa.int64()))
    elif column.type == "float64":
        if column.minimum is not None:
            yield pc.less(values, column.minimum)
        if column.maximum is not None:
            yield pc.greater(values, column.maximum)


def _are_plain_times(values: pa.ChunkedArray) -> bool:
    """Whether all have the commonest form, 2013-01-31T23:59:59Z, as far as it is not digits: casting them tells those.

    With it a chunk's checks take 0.16 CPU-seconds per million events, where the pattern made them 0.30.
    """
    for chunk in values.chunks:
        if not len(chunk):
            continue
        bounds, octets = _byte_view(chunk)
        if chunk.null_count or (np.diff(bounds) != len(_PLAIN_TIME)).any():
            return False
        texts = octets[bounds[0] : bounds[-1]].reshape(-1, len(_PLAIN_TIME))
        if any((texts[:, place] != mark).any() for place, mark in enumerate(_PLAIN_TIME) if mark != ord("0")):
            return False
    return True


def _times(values: pa.ChunkedArray, kind: pa.DataType, wrong: Mask) -> pa.ChunkedArray:
    """Texts as dates or timestamps; one that has the form but is in no calendar becomes null, and wrong."""
    try:
        return values.cast(kind)
    except pa.ArrowInvalid:
        if len(values) == 1:
            wrong[:] = True
            return pa.chunked_array([pa.nulls(1, kind)])
    middle = len(values) // 2
    parts = [_times(values.slice(0, middle), kind, wrong[:middle]), _times(values.slice(middle), kind, wrong[middle:])]
    return pa.chunked_array([chunk for part in parts for chunk in part.chunks], kind)


def _milliseconds(times: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """Since 1970; 0 for null."""
    microseconds: npt.NDArray[np.int64] = np.asarray(pc.fill_null(times.cast(pa.int64()), 0))
    return microseconds // 1000
