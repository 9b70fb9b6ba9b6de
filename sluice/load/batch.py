"""A batch: records of the lake with their values read, and what it adds up to per date and partition."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from sluice.contracts import Contract
from sluice.lake.ranges import PartitionKey
from sluice.load.columns import Columns, read_columns
from sluice.load.lateness import arrivals

PLACE_COLUMNS = ["topic_id", "partition", "offset", "timestamp", "event_date"]
LAKE_COLUMNS = [*PLACE_COLUMNS, "key", "value"]
"""What of the lake's columns a load reads."""

_FIELD_BYTES = 200
"""What is kept of an unknown field's name: an index takes no more than some 2,700 bytes."""

Drift = Counter[tuple[date, str]]
"""Rows per event date and field that the contract does not name."""


@dataclass(frozen=True)
class Batch:
    """Records with their values read. Of those that fit, the bytes are not kept."""

    places: pa.Table
    """``PLACE_COLUMNS`` of every record."""
    columns: Columns
    unfit: pa.Table
    """``LAKE_COLUMNS`` of the records that do not fit."""

    @property
    def dates(self) -> list[date]:
        """The event dates in it, ascending."""
        return sorted(pc.unique(self.places["event_date"]).to_pylist())

    def fitting(self) -> pa.Table:
        """``PLACE_COLUMNS`` of the records that fit."""
        return self.places.filter(self.columns.fits)

    def counts(self) -> dict[tuple[str, int, bool], int]:
        """Records per topic id, partition and whether they fit."""
        keys = ["topic_id", "partition", "fits"]
        places = self.places.select(keys[:2]).append_column("fits", self.columns.fits)
        found = places.group_by(keys).aggregate([([], "count_all")]).to_pylist()
        return {(each["topic_id"], each["partition"], each["fits"]): each["count_all"] for each in found}

    def drift(self) -> Drift:
        """How often the fields that the contract does not name are there, among the records that fit."""
        found: Drift = Counter()
        for name, held in self.columns.unknown.items():
            for day in pc.value_counts(self.places["event_date"].take(pa.array(held))):
                found[day["values"].as_py(), _printable(name)] += day["counts"].as_py()
        return found


@dataclass
class DateCounts:
    """What a batch adds to a date."""

    rows: int = 0
    quarantined: int = 0
    late: int = 0
    after_close: int = 0


def read_batch(contract: Contract, rows: pa.Table, each: Callable[..., Iterator[Any]] = map) -> Batch:
    """Reads the values of lake rows (``LAKE_COLUMNS``); ``each`` as ``read_columns`` has it."""
    columns = read_columns(contract, rows["value"], rows["timestamp"], each)
    return Batch(rows.select(PLACE_COLUMNS), columns, rows.filter(pc.invert(columns.fits)))


def count_dates(
    contract: Contract, batch: Batch, watermarks: Mapping[PartitionKey, datetime], now: datetime
) -> tuple[dict[date, DateCounts], dict[PartitionKey, datetime]]:
    """What a batch adds to its dates, ascending, and the watermarks after it; arguments as ``arrivals`` has them."""
    fitting = batch.fitting()
    came = arrivals(fitting, watermarks, contract.lateness, now)
    counts = {day: DateCounts() for day in batch.dates}
    for name, rows in (
        ("rows", fitting),
        ("quarantined", batch.unfit),
        ("late", fitting.filter(pa.array(came.late))),
        ("after_close", fitting.filter(pa.array(came.after_close))),
    ):
        for found in pc.value_counts(rows["event_date"]):
            setattr(counts[found["values"].as_py()], name, found["counts"].as_py())
    return counts, came.watermarks


def as_json(counts: Mapping[date, DateCounts]) -> str:
    """Counts as a list of objects, for ``jsonb_to_recordset``."""
    return json.dumps([{"event_date": day.isoformat(), **asdict(each)} for day, each in counts.items()])


def drift_json(drift: Mapping[tuple[date, str], int]) -> str:
    """Drift as a list of objects, for ``jsonb_to_recordset``."""
    return json.dumps(
        [{"event_date": day.isoformat(), "field": name, "rows": rows} for (day, name), rows in sorted(drift.items())]
    )


def _printable(name: str) -> str:
    """A field's name as a text column can hold it."""
    plain = name if name.isprintable() else json.dumps(name)[1:-1]
    return plain.encode()[:_FIELD_BYTES].decode(errors="ignore")


__all__ = ["LAKE_COLUMNS", "Batch", "DateCounts", "Drift", "as_json", "count_dates", "drift_json", "read_batch"]
