"""Chunks: consecutive records of one Kafka partition as Arrow columns; the unit of buffering, commits and fencing."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sluice.lake.layout import NO_TIMESTAMP_DATE, PARTITION_COLUMN, SCHEMA

_DAY_MS = 86_400_000
_EPOCH = date(1970, 1, 1)
_SHORT = 32
"""Hex digits of a date's hash: 128 bits are enough to find damage, and a commit may have thousands of dates."""
_FIRST_MS = -62_135_596_800_000
_LAST_MS = 253_402_300_799_999
"""The years 1 to 9999, the range that every reader of the lake supports."""


@dataclass(frozen=True)
class Chunk:
    """The records of one partition from ``start_offset`` (inclusive) to ``next_offset`` (exclusive).

    Some offsets may have no record. ``rows`` has the lake's schema and is sorted by offset.
    """

    topic_id: str
    partition: int
    start_offset: int
    next_offset: int
    rows: pa.Table
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Extra entries for the range in the commit metadata."""
    transactions: Mapping[str, int] = field(default_factory=dict)
    """Extra application transactions of the commit, with their versions."""

    @property
    def size(self) -> int:
        """Size in memory, in bytes."""
        return int(self.rows.nbytes)


def record_columns(
    topic_id: str,
    partition: int,
    offsets: Sequence[int],
    timestamps_ms: Sequence[int],
    keys: Sequence[bytes | None],
    values: Sequence[bytes | None],
    headers: Sequence[Any],
) -> pa.Table:
    """Returns records as lake rows, one per record.

    Args:
        topic_id: the topic's id.
        partition: the partition number.
        offsets: in ascending order.
        timestamps_ms: milliseconds since 1970; -1 for a record without a timestamp.
        keys: the key bytes.
        values: the value bytes.
        headers: per record None or a list of (key, bytes or None).
    """
    count = len(offsets)
    milliseconds = np.asarray(timestamps_ms, dtype=np.int64)
    missing = (milliseconds == -1) | (milliseconds < _FIRST_MS) | (milliseconds > _LAST_MS)
    days = np.where(missing, NO_TIMESTAMP_DATE, milliseconds // _DAY_MS).astype(np.int32)
    micros = pa.array(np.where(missing, 0, milliseconds) * 1000, mask=missing)
    return pa.Table.from_arrays(
        [
            pa.repeat(pa.scalar(topic_id, pa.string()), count),
            pa.repeat(pa.scalar(partition, pa.int32()), count),
            pa.array(offsets, pa.int64()),
            micros.cast(pa.timestamp("us", tz="UTC")),
            pa.array(keys, pa.binary()),
            pa.array(values, pa.binary()),
            _headers(headers),
            pa.array(days).cast(pa.date32()),
        ],
        schema=SCHEMA,
    )


def value_hash(values: pa.ChunkedArray) -> str:
    """Returns the SHA-256 of values in offset order, as hex digits; null and empty values differ.

    The hash covers all lengths (little-endian int64, -1 for null), then all bytes, so it does not depend on how the
    values are split into arrays. SHA-256 is fast because processors implement it in hardware.
    """
    lengths = pc.fill_null(pc.binary_length(values).cast(pa.int64()), -1)
    digest = hashlib.sha256()
    digest.update(lengths.to_numpy().astype("<i8").tobytes())
    for array in values.chunks:
        dense = pc.fill_null(array, b"") if array.null_count else array
        if len(dense):
            _, value_offsets, data = dense.buffers()
            offsets = np.frombuffer(value_offsets, np.int32)[dense.offset : dense.offset + len(dense) + 1]
            if data is not None:
                digest.update(data[int(offsets[0]) : int(offsets[-1])])
    return digest.hexdigest()


def record_digest(rows: pa.Table, next_offset: int) -> int:
    """Returns a digest of the record before the next offset, the last of the lake rows; 0 if it is not among them."""
    if not rows.num_rows or rows["offset"][-1].as_py() != next_offset - 1:
        return 0
    record = [rows[name][-1].as_py() for name in ("offset", "timestamp", "key", "value")]
    return int.from_bytes(hashlib.sha256(repr(record).encode()).digest()[:8], "big") >> 1


def matches(values: pa.ChunkedArray, recorded: str) -> bool:
    """Returns whether the values have the recorded hash, of which only the first digits may have been recorded."""
    return value_hash(values)[: len(recorded)] == recorded


def hashes(rows: pa.Table) -> tuple[str, dict[str, tuple[int, str]]]:
    """Returns the hash of the values of lake rows in offset order, and per event date their number and short hash."""
    total = value_hash(rows["value"])
    days = rows[PARTITION_COLUMN].cast(pa.int32()).to_numpy()
    order = np.argsort(days, kind="stable")
    bounds = [0, *(np.flatnonzero(np.diff(days[order])) + 1).tolist(), len(days)]
    by_date = rows["value"].take(pa.array(order)) if len(bounds) > 2 else None
    dates = {}
    for start, end in pairwise(bounds):
        if end > start:
            day = (_EPOCH + timedelta(days=int(days[order[start]]))).isoformat()
            digest = total if by_date is None else value_hash(by_date.slice(start, end - start))
            dates[day] = (end - start, digest[:_SHORT])
    return total, dates


def _headers(headers: Sequence[Any]) -> pa.Array:
    headers_type = SCHEMA.field("headers").type
    if not any(headers):
        return pa.nulls(len(headers), headers_type)
    return pa.array(
        [[{"key": key, "value": value} for key, value in entry] if entry else None for entry in headers], headers_type
    )
