"""Keeps what the commits recorded, offset ranges and hashes, beside the data and as long as the data.

Delta keeps commit metadata for 30 days only. Maintenance copies it here before it cleans the log. The archive holds
ranges of offsets, not files, so compaction does not affect it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import fs

from sluice.lake.errors import store_error
from sluice.lake.files import read_file
from sluice.lake.layout import ARCHIVE
from sluice.lake.ranges import CommittedRange, DateHash

_RANGE_SCHEMA = pa.schema(
    [
        ("version", pa.int64()),
        ("topic_id", pa.string()),
        ("partition", pa.int32()),
        ("first", pa.int64()),
        ("next", pa.int64()),
        ("rows", pa.int64()),
        ("hash", pa.binary()),
    ]
)
_SCHEMA = pa.schema(
    [*_RANGE_SCHEMA, ("event_date", pa.date32()), ("date_rows", pa.int64()), ("date_hash", pa.binary())]
)
"""One row per range and event date; one without a date for a range whose commit recorded none."""
_ROW_GROUP = 10_000
_NO_DATE: Mapping[date | None, DateHash | None] = {None: None}
_TIME = b"sluice.time"


@dataclass(frozen=True)
class ArchivedVersions:
    """One object of the archive: the versions from ``first`` to ``last``."""

    path: str
    first: int
    last: int


class RangeArchive:
    """The archive of one table."""

    def __init__(self, uri: str, filesystem: fs.FileSystem) -> None:
        self._uri = uri
        self._filesystem = filesystem

    def objects(self) -> list[ArchivedVersions]:
        """Returns the objects, in the order of versions and without the overlaps that runs side by side can leave."""
        try:
            listed = self._filesystem.get_file_info(fs.FileSelector(ARCHIVE, allow_not_found=True))
        except OSError as error:
            raise store_error(self._uri, error) from error
        found = []
        for info in listed:
            first, _, last = info.base_name.removesuffix(".parquet").partition("-")
            found.append(ArchivedVersions(info.path, int(first), int(last)))
        result: list[ArchivedVersions] = []
        for item in sorted(found, key=lambda item: (item.first, -item.last)):
            if not result or item.last > result[-1].last:
                result.append(item)
        return result

    def read(self, versions: ArchivedVersions, day: date | None = None) -> list[CommittedRange]:
        """Returns the ranges of an object in version order.

        Args:
            versions: the object.
            day: if given, only the ranges with rows of this event date are returned, each with what was recorded of
                it. Otherwise, all are, without dates.

        Raises:
            TransientError, TerminalError: the store is down or rejects the request.
        """
        try:
            content = pa.BufferReader(read_file(self._filesystem, versions.path))
            if day is None:
                # Piece by piece, since each range has a row per date.
                pieces = pq.ParquetFile(content).iter_batches(_ROW_GROUP, columns=_RANGE_SCHEMA.names)
                rows = _distinct(pa.concat_tables([_RANGE_SCHEMA.empty_table(), *map(_distinct, pieces)]))
            else:
                condition = (pc.field("event_date") == day) | pc.field("event_date").is_null()
                rows = pq.read_table(content, filters=condition)
        except (OSError, pa.ArrowInvalid) as error:
            raise store_error(self._uri, error) from error
        rows = rows.sort_by([("version", "ascending"), ("topic_id", "ascending"), ("partition", "ascending")])
        return [_range(row) for row in rows.to_pylist()]

    def time(self, versions: ArchivedVersions) -> int:
        """Returns when the object's last version was committed, in milliseconds since 1970."""
        try:
            with self._filesystem.open_input_file(versions.path) as file:
                return int(pq.read_schema(file).metadata[_TIME])
        except (OSError, pa.ArrowInvalid) as error:
            raise store_error(self._uri, error) from error

    def write(self, first: int, last: int, rows: pa.Table, milliseconds: int) -> None:
        """Adds the ranges of some versions. Writing the same versions again writes the same object.

        Args:
            first: the first version.
            last: the last version.
            rows: all ranges that these versions recorded, from ``ArchiveRows``.
            milliseconds: when the last version was committed.
        """
        rows = rows.sort_by([("event_date", "ascending"), ("version", "ascending")])
        rows = rows.replace_schema_metadata({_TIME: str(milliseconds)})
        try:
            with self._filesystem.open_output_stream(f"{ARCHIVE}/{first:020d}-{last:020d}.parquet") as file:
                pq.write_table(rows, file, compression="zstd", row_group_size=_ROW_GROUP)
        except OSError as error:
            raise store_error(self._uri, error) from error


class ArchiveRows:
    """What some versions recorded, in columns: as Python's objects it would take several times the memory."""

    def __init__(self) -> None:
        self.count = 0
        """Rows: one per range and event date."""
        self._tables = [_SCHEMA.empty_table()]
        self._pending: list[CommittedRange] = []
        self._pending_rows = 0

    def add(self, ranges: Iterable[CommittedRange]) -> None:
        """Adds the ranges of a version, with their dates."""
        for committed in ranges:
            rows = max(len(committed.dates), 1)
            self.count += rows
            self._pending_rows += rows
            self._pending.append(committed)
        if self._pending_rows >= _ROW_GROUP:
            self._convert()

    def table(self) -> pa.Table:
        """Returns all rows."""
        self._convert()
        return pa.concat_tables(self._tables)

    def _convert(self) -> None:
        if not self._pending:
            return
        ranges = pa.Table.from_pylist([_range_row(committed) for committed in self._pending], _RANGE_SCHEMA)
        dates: list[tuple[int, date | None, DateHash | None]] = [
            (number, day, recorded)
            for number, committed in enumerate(self._pending)
            for day, recorded in (committed.dates or _NO_DATE).items()
        ]
        columns = [
            *ranges.take(pa.array([number for number, _, _ in dates])).columns,
            [day for _, day, _ in dates],
            [recorded and recorded.rows for _, _, recorded in dates],
            [recorded and bytes.fromhex(recorded.hash) for _, _, recorded in dates],
        ]
        self._tables.append(pa.table(columns, _SCHEMA))
        self._pending, self._pending_rows = [], 0


def _range_row(committed: CommittedRange) -> dict[str, Any]:
    return {
        "version": committed.version,
        "topic_id": committed.topic_id,
        "partition": committed.partition,
        "first": committed.start_offset,
        "next": committed.next_offset,
        "rows": committed.rows,
        "hash": bytes.fromhex(committed.hash),
    }


def _distinct(rows: pa.Table | pa.RecordBatch) -> pa.Table:
    """Returns each range once."""
    table = pa.Table.from_batches([rows]) if isinstance(rows, pa.RecordBatch) else rows
    return table.group_by(_RANGE_SCHEMA.names).aggregate([])


def _range(row: Mapping[str, Any]) -> CommittedRange:
    day = row.get("event_date")
    return CommittedRange(
        version=row["version"],
        topic_id=row["topic_id"],
        partition=row["partition"],
        start_offset=row["first"],
        next_offset=row["next"],
        rows=row["rows"],
        hash=row["hash"].hex(),
        dates={} if day is None else {day: DateHash(row["date_rows"], row["date_hash"].hex())},
    )
