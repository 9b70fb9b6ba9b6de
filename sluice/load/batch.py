"""A batch: lake records with their values parsed, and its counts per date and partition."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from sluice.contracts import Contract
from sluice.escaping import escape
from sluice.lake.ranges import PartitionKey
from sluice.load.columns import Columns, read_columns
from sluice.load.decoding import decode_keys, decode_values
from sluice.load.lateness import track_lateness
from sluice.load.rejection import NONE_REJECTED, RecordId
from sluice.registry import Decoder

_RECORD_COLUMNS = ["topic_id", "partition", "offset", "timestamp"]
METADATA_COLUMNS = [*_RECORD_COLUMNS, "event_date", "lake_date"]
"""Where a row comes from: its record, its event date by the contract, and the lake's date if that is another one."""
LAKE_COLUMNS = [*_RECORD_COLUMNS, "event_date", "key", "value"]
"""The lake's columns that a load reads. The lake's event date is that of the record's timestamp."""

_DAY = timedelta(days=1) // timedelta(microseconds=1)
_FIELD_BYTES = 200
"""Unknown field names are cut to this length: an index entry holds at most about 2,700 bytes."""

Drift = Counter[tuple[date, str]]
"""Rows per date of the lake and field that is not in the contract."""


@dataclass(frozen=True)
class Batch:
    """Records with their values parsed. The bytes of valid records are not kept."""

    metadata: pa.Table
    """``METADATA_COLUMNS`` of every record. An invalid record has the lake's date."""
    columns: Columns
    invalid: pa.Table
    """``LAKE_COLUMNS`` of the invalid records."""
    times: pa.ChunkedArray
    """The event times of the valid records."""

    @property
    def dates(self) -> list[date]:
        """The batch's event dates, ascending."""
        return sorted(pc.unique(self.metadata["event_date"]).to_pylist())

    def valid(self) -> pa.Table:
        """Returns ``METADATA_COLUMNS`` of the valid records."""
        return self.metadata.filter(self.columns.is_valid)

    def without_invalid(self) -> "Batch":
        """Returns the batch without its invalid records."""
        columns = Columns(self.columns.rows, self.columns.is_valid, [], self.columns.unknown)
        return Batch(self.metadata, columns, self.invalid.slice(0, 0), self.times)

    def date_sources(self) -> Counter[tuple[date, date]]:
        """Returns the number of valid records per date of the lake and event date, where the two differ."""
        moved = self.metadata.filter(self.metadata["lake_date"].is_valid())
        if not moved.num_rows:
            return Counter()
        groups = moved.group_by(["lake_date", "event_date"]).aggregate([([], "count_all")]).to_pylist()
        return Counter({(group["lake_date"], group["event_date"]): group["count_all"] for group in groups})

    def counts(self) -> dict[tuple[str, int, bool], int]:
        """Returns the number of records per topic id, partition and validity."""
        keys = ["topic_id", "partition", "is_valid"]
        records = self.metadata.select(keys[:2]).append_column("is_valid", self.columns.is_valid)
        groups = records.group_by(keys).aggregate([([], "count_all")]).to_pylist()
        return {(group["topic_id"], group["partition"], group["is_valid"]): group["count_all"] for group in groups}

    def drift(self) -> Drift:
        """Returns how many valid records contain each field that is not in the contract."""
        drift: Drift = Counter()
        dates = pc.coalesce(self.metadata["lake_date"], self.metadata["event_date"])
        for name, row_indices in self.columns.unknown.items():
            for day in pc.value_counts(dates.take(pa.array(row_indices))):
                drift[day["values"].as_py(), _printable(name)] += day["counts"].as_py()
        return drift


@dataclass
class DateCounts:
    """What a batch adds to a date."""

    rows: int = 0
    quarantined: int = 0
    late: int = 0
    after_close: int = 0


def read_batch(
    contract: Contract,
    rows: pa.Table,
    map_chunks: Callable[..., Iterator[Any]] = map,
    rejected: Mapping[RecordId, str] = NONE_REJECTED,
    decode: Decoder | None = None,
) -> Batch:
    """Parses the values of lake rows.

    Args:
        contract: of their stream.
        rows: ``LAKE_COLUMNS``.
        map_chunks: see ``read_columns``.
        rejected: records that are invalid whatever their values are, with the reasons.
        decode: makes values JSON, if they are not, and the keys of tombstones.

    Raises:
        TransientError, TerminalError: values cannot be decoded, because the schema registry is down or denies access.
    """
    records, invalid = _decoded(contract, rows, decode) if decode else (rows, {})
    columns = read_columns(contract, records, map_chunks)
    if rejected:
        ids = zip(*(rows[name].to_pylist() for name in ("topic_id", "partition", "offset")), strict=True)
        invalid |= {index: rejected[record] for index, record in enumerate(ids) if record in rejected}
    if invalid:
        columns = columns.without(invalid)
    times = _event_times(contract, columns.rows, rows["timestamp"].filter(columns.is_valid))
    metadata = rows.select(_RECORD_COLUMNS)
    for name, dates in _dates(rows["event_date"], columns.is_valid, times):
        metadata = metadata.append_column(name, dates)
    return Batch(metadata, columns, rows.filter(pc.invert(columns.is_valid)), times)


def _decoded(contract: Contract, rows: pa.Table, decode: Decoder) -> tuple[pa.Table, dict[int, str]]:
    """Returns rows with JSON for what has a schema id, and the reasons for those that cannot be decoded."""
    values, invalid = decode_values(decode, rows["value"])
    decoded = rows.set_column(rows.schema.get_field_index("value"), "value", values)
    if contract.deletes:
        keys, undecodable = decode_keys(decode, rows)
        decoded = decoded.set_column(rows.schema.get_field_index("key"), "key", keys)
        invalid |= undecodable
    return decoded, invalid


def _event_times(contract: Contract, rows: pa.Table, timestamps: pa.ChunkedArray) -> pa.ChunkedArray:
    """Returns when the valid events happened. A tombstone has no other time than its record's."""
    if contract.happens_at_record:
        return timestamps
    times = rows[contract.event_time]
    return pc.coalesce(times, timestamps) if contract.deletes else times


def _dates(
    lake_dates: pa.ChunkedArray, is_valid: pa.Array, times: pa.ChunkedArray
) -> Iterator[tuple[str, pa.ChunkedArray]]:
    """Yields the event date of each record, and the lake's date where it is another one."""
    in_lake = lake_dates.cast(pa.int32()).to_numpy()
    days = in_lake.copy()
    days[is_valid.to_numpy(zero_copy_only=False)] = times.cast(pa.int64()).to_numpy() // _DAY
    yield "event_date", pa.chunked_array([pa.array(days).cast(pa.date32())])
    yield "lake_date", pa.chunked_array([pa.array(in_lake, mask=days == in_lake).cast(pa.date32())])


def count_dates(
    contract: Contract, batch: Batch, watermarks: Mapping[PartitionKey, datetime], now: datetime
) -> tuple[dict[date, DateCounts], dict[PartitionKey, datetime]]:
    """Returns what a batch adds to each of its dates, ascending, and the watermarks after it.

    ``watermarks`` and ``now`` as for ``track_lateness``.
    """
    valid = batch.valid()
    events = valid.set_column(valid.schema.get_field_index("timestamp"), "timestamp", batch.times)
    lateness = track_lateness(events, watermarks, contract.lateness, now)
    counts = {day: DateCounts() for day in batch.dates}
    for name, rows in (
        ("rows", valid),
        ("quarantined", batch.invalid),
        ("late", valid.filter(pa.array(lateness.late))),
        ("after_close", valid.filter(pa.array(lateness.after_close))),
    ):
        for day in pc.value_counts(rows["event_date"]):
            setattr(counts[day["values"].as_py()], name, day["counts"].as_py())
    return counts, lateness.watermarks


def counts_json(counts: Mapping[date, DateCounts]) -> str:
    """Returns counts as a JSON list of objects, for ``jsonb_to_recordset``."""
    return json.dumps([{"event_date": day.isoformat(), **asdict(count)} for day, count in counts.items()])


def date_sources_json(sources: Mapping[tuple[date, date], int]) -> str:
    """Returns the counts of ``Batch.date_sources`` as a JSON list of objects, for ``jsonb_to_recordset``."""
    return json.dumps(
        [
            {"lake_date": lake_date.isoformat(), "event_date": event_date.isoformat(), "rows": rows}
            for (lake_date, event_date), rows in sorted(sources.items())
        ]
    )


def drift_json(drift: Mapping[tuple[date, str], int]) -> str:
    """Returns drift as a JSON list of objects, for ``jsonb_to_recordset``."""
    return json.dumps(
        [{"event_date": day.isoformat(), "field": name, "rows": rows} for (day, name), rows in sorted(drift.items())]
    )


def _printable(name: str) -> str:
    """Returns a field's name in a form that a text column can hold."""
    return escape(name).encode()[:_FIELD_BYTES].decode(errors="ignore")


__all__ = [
    "LAKE_COLUMNS",
    "Batch",
    "DateCounts",
    "Drift",
    "count_dates",
    "counts_json",
    "date_sources_json",
    "drift_json",
    "read_batch",
]
