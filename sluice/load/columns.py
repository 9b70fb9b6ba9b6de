"""Parses values into typed columns: whole chunks at once, and suspicious values one by one."""

import gc
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from sluice.contracts import Contract
from sluice.contracts.validation import Event, parse, unknown_fields, validate_event
from sluice.contracts.values import ContractViolationError
from sluice.load import json_values
from sluice.load.arrow_types import arrow_schema, stored_type
from sluice.load.column_checks import check_columns
from sluice.load.json_objects import parse_objects
from sluice.load.json_values import EXACT, Mask, RowIndices, is_columnar, is_plain, parse_around
from sluice.load.object_columns import read_object_columns
from sluice.load.unknown_fields import UnknownFields, merge
from sluice.warehouse.alterations import DELETED

_CHUNK = 16_384
_CHUNK_BYTES = 16 << 20
"""Rows, and about how many bytes of them, that are parsed together. An invalid value costs its chunk a second pass."""


@dataclass(frozen=True)
class Columns:
    """A batch of values, parsed."""

    rows: pa.Table
    """The contract's columns of the valid values, in their order."""
    is_valid: pa.Array
    """Per value, whether it is valid (boolean, without nulls)."""
    reasons: list[str]
    """The reason for each invalid value, in their order."""
    unknown: dict[str, RowIndices] = field(default_factory=dict)
    """Per field that is not in the contract, which of the valid values contain it."""

    def without(self, rejected: Mapping[int, str]) -> "Columns":
        """Returns the same columns, except that the values at these positions are invalid, for these reasons."""
        was_valid = self.is_valid.to_numpy(zero_copy_only=False)
        is_valid = was_valid.copy()
        is_valid[list(rejected)] = False
        reasons = {**dict(zip(np.flatnonzero(~was_valid).tolist(), self.reasons, strict=True)), **rejected}
        unknown = {name: indices[is_valid[indices]] for name, indices in self.unknown.items()}
        return Columns(
            self.rows.filter(pa.array(is_valid[was_valid])),
            pa.array(is_valid),
            [reasons[index] for index in sorted(reasons)],
            {name: indices for name, indices in unknown.items() if len(indices)},
        )


def read_columns(contract: Contract, records: pa.Table, map_chunks: Callable[..., Iterator[Columns]] = map) -> Columns:
    """Parses JSON values and validates them against the contract.

    Args:
        contract: of the values' stream.
        records: value (binary), timestamp (microseconds UTC) and key (binary), all of which may be null.
        map_chunks: applies a function to the chunks in order; an executor's ``map`` parses several at once.
    """
    table, values = records.select(["value", "timestamp", "key"]), records["value"]
    size = max(1, min(_CHUNK, _CHUNK_BYTES * len(values) // max(values.nbytes, 1)))
    if values.num_chunks > 2 * (len(values) // size + 1):
        # Values from many small files.
        table = table.combine_chunks()
    chunks = table.to_batches(max_chunksize=size)
    return _concat(contract, list(map_chunks(lambda chunk: _read_contained(contract, chunk), chunks)))


def _concat(contract: Contract, parts: list[Columns]) -> Columns:
    starts = np.cumsum([0, *(len(part.is_valid) for part in parts)])[:-1].tolist()
    return Columns(
        pa.concat_tables([arrow_schema(contract).empty_table(), *(part.rows for part in parts)]),
        pa.concat_arrays([pa.array([], pa.bool_()), *(part.is_valid for part in parts)]),
        [reason for part in parts for reason in part.reasons],
        merge((start, part.unknown) for start, part in zip(starts, parts, strict=True)),
    )


def _read_contained(contract: Contract, records: pa.RecordBatch) -> Columns:
    """Reads a chunk. If that fails in a way that no rule foresees, the values that cause it are found by bisection."""
    try:
        return _read_chunk(contract, records)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - one value must not stop its stream. Read by itself, it is valid or has a reason.
        if len(records) == 1:
            return _read_one_by_one(contract, records)
    middle = len(records) // 2
    halves = [records.slice(0, middle), records.slice(middle)]
    return _concat(contract, [_read_contained(contract, half) for half in halves])


def _read_chunk(contract: Contract, records: pa.RecordBatch) -> Columns:
    if not is_columnar(contract):
        return _read_objects(contract, records)
    values = records["value"]
    plain = is_plain(values)
    if plain.all():
        try:
            table = json_values.parse(contract, values, EXACT, "error")
        except pa.ArrowInvalid:
            pass
        else:
            rows, wrong = check_columns(contract, table, records["timestamp"])
            if not wrong.any():
                return Columns(rows, pa.array(~wrong), [])
    return _parse_with_fallback(contract, records, plain)


def _read_one_by_one(contract: Contract, records: pa.RecordBatch) -> Columns:
    events, is_valid, reasons = [], np.zeros(len(records), np.bool_), []
    unknown = UnknownFields()
    fields = (records[name].to_pylist() for name in ("value", "timestamp", "key"))
    for index, (value, timestamp, key) in enumerate(zip(*fields, strict=True)):
        event, reason = validate_event(contract, value, timestamp, key)
        if event is None:
            reasons.append(reason)
            continue
        events.append(event)
        is_valid[index] = True
        unknown.add(event.unknown, index)
    return Columns(_as_rows(contract, events), pa.array(is_valid), reasons, unknown.indices())


def _read_objects(contract: Contract, records: pa.RecordBatch) -> Columns:
    """Reads columns from objects."""
    # As many objects are created, none of them in a reference cycle; collecting cycles would take most of the time.
    gc.disable()
    try:
        objects, row_indices = parse_objects(records["value"])
        rows, wrong = read_object_columns(contract, objects, records["timestamp"].take(pa.array(row_indices)))
        unknown = UnknownFields()
        for row_index, event, is_wrong in zip(row_indices.tolist(), objects, wrong.tolist(), strict=True):
            if not is_wrong and (names := unknown_fields(contract, event)):
                unknown.add(names, row_index)
        return _with_others(contract, records, rows, row_indices, wrong, unknown)
    finally:
        gc.enable()


def _parse_with_fallback(contract: Contract, records: pa.RecordBatch, plain: Mask) -> Columns:
    """Parses as many values as possible at once, and validates the rest one by one."""
    values = records["value"]
    table, row_indices, has_unknown = parse_around(contract, values, np.flatnonzero(plain))
    rows, wrong = check_columns(contract, table, records["timestamp"].take(pa.array(row_indices)))
    unknown = UnknownFields()
    if has_unknown:
        _find_unknown(contract.fields, values, row_indices, wrong, unknown)
    return _with_others(contract, records, rows, row_indices, wrong, unknown)


def _with_others(
    contract: Contract,
    records: pa.RecordBatch,
    rows: pa.Table,
    row_indices: RowIndices,
    wrong: Mask,
    unknown: UnknownFields,
) -> Columns:
    """Validates those records one by one that have no valid row yet, and returns all in their order."""
    is_valid = np.zeros(len(records), np.bool_)
    is_valid[row_indices[~wrong]] = True
    others = np.flatnonzero(~is_valid)
    if not len(others):
        return Columns(rows, pa.array(is_valid), [], unknown.indices())
    single = _read_one_by_one(contract, records.take(pa.array(others)))
    valid_others = others[single.is_valid.to_numpy(zero_copy_only=False)]
    order = np.argsort(np.concatenate([row_indices[~wrong], valid_others]))
    rows = pa.concat_tables([rows.filter(pa.array(~wrong)), single.rows]).take(pa.array(order))
    is_valid[valid_others] = True
    from_others = {name: others[indices] for name, indices in single.unknown.items()}
    return Columns(rows, pa.array(is_valid), single.reasons, merge([(0, unknown.indices()), (0, from_others)]))


def _as_rows(contract: Contract, events: list[Event]) -> pa.Table:
    """Returns valid events as rows."""
    schema = arrow_schema(contract)
    arrays = []
    for name, kind in zip(schema.names, schema.types, strict=True):
        values = [event.is_tombstone or None if name == DELETED else event.values[name] for event in events]
        arrays.append(pa.array(values, stored_type(kind)).cast(kind))
    return pa.table(arrays, schema=schema)


def _find_unknown(
    known: frozenset[str], values: pa.Array, row_indices: RowIndices, wrong: Mask, unknown: UnknownFields
) -> None:
    """Collects the fields that are not in the contract. Arrow accepts more than JSON there: those values are wrong."""
    for index in np.flatnonzero(~wrong):
        row_index = int(row_indices[index])
        try:
            names = parse(values[row_index].as_py()).keys() - known
        except ContractViolationError:
            wrong[index] = True
            continue
        unknown.add(names, row_index)
