"""A batch: lake records with their values parsed, and its counts per date and partition."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from sluice.contracts import Contract
from sluice.escaping import escape
from sluice.lake.ranges import PartitionKey
from sluice.load.columns import Columns, read_columns
from sluice.load.lateness import track_lateness
from sluice.load.rejection import NONE_REJECTED, RecordId

METADATA_COLUMNS = ["topic_id", "partition", "offset", "timestamp", "event_date"]
LAKE_COLUMNS = [*METADATA_COLUMNS, "key", "value"]
"""The lake's columns that a load reads."""

_FIELD_BYTES = 200
"""Unknown field names are cut to this length: an index entry holds at most about 2,700 bytes."""

Drift = Counter[tuple[date, str]]
"""Rows per event date and field that is not in the contract."""


@dataclass(frozen=True)
class Batch:
    """Records with their values parsed. The bytes of valid records are not kept."""

    metadata: pa.Table
    """``METADATA_COLUMNS`` of every record."""
    columns: Columns
    invalid: pa.Table
    """``LAKE_COLUMNS`` of the invalid records."""

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
        return Batch(self.metadata, columns, self.invalid.slice(0, 0))

    def counts(self) -> dict[tuple[str, int, bool], int]:
        """Returns the number of records per topic id, partition and validity."""
        keys = ["topic_id", "partition", "is_valid"]
        records = self.metadata.select(keys[:2]).append_column("is_valid", self.columns.is_valid)
        groups = records.group_by(keys).aggregate([([], "count_all")]).to_pylist()
        return {(group["topic_id"], group["partition"], group["is_valid"]): group["count_all"] for group in groups}

    def drift(self) -> Drift:
        """Returns how many valid records contain each field that is not in the contract."""
        drift: Drift = Counter()
        for name, row_indices in self.columns.unknown.items():
            for day in pc.value_counts(self.metadata["event_date"].take(pa.array(row_indices))):
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
) -> Batch:
    """Parses the values of lake rows.

    Args:
        contract: of their stream.
        rows: ``LAKE_COLUMNS``.
        map_chunks: see ``read_columns``.
        rejected: records that are invalid whatever their values are, with the reasons.
    """
    columns = read_columns(contract, rows["value"], rows["timestamp"], map_chunks)
    if rejected:
        ids = zip(*(rows[name].to_pylist() for name in ("topic_id", "partition", "offset")), strict=True)
        columns = columns.without({index: rejected[record] for index, record in enumerate(ids) if record in rejected})
    return Batch(rows.select(METADATA_COLUMNS), columns, rows.filter(pc.invert(columns.is_valid)))


def count_dates(
    contract: Contract, batch: Batch, watermarks: Mapping[PartitionKey, datetime], now: datetime
) -> tuple[dict[date, DateCounts], dict[PartitionKey, datetime]]:
    """Returns what a batch adds to each of its dates, ascending, and the watermarks after it.

    ``watermarks`` and ``now`` as for ``track_lateness``.
    """
    valid = batch.valid()
    lateness = track_lateness(valid, watermarks, contract.lateness, now)
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
    "drift_json",
    "read_batch",
]
