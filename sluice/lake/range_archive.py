"""Keeps what the commits recorded, offset ranges and hashes, beside the data and as long as the data.

Delta keeps commit metadata for 30 days only. Maintenance copies it here before it cleans the log. The archive holds
ranges of offsets, not files, so compaction does not affect it.
"""

from collections.abc import Iterator, Sequence
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

_SCHEMA = pa.schema(
    [
        ("version", pa.int64()),
        ("topic_id", pa.string()),
        ("partition", pa.int32()),
        ("first", pa.int64()),
        ("next", pa.int64()),
        ("rows", pa.int64()),
        ("hash", pa.binary()),
        ("event_date", pa.date32()),
        ("date_rows", pa.int64()),
        ("date_hash", pa.binary()),
    ]
)
"""One row per range and event date; one without a date for a range whose commit recorded none."""
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
        """Returns the ranges of an object in version order; only those with rows of an event date, if given.

        Raises:
            TransientError, TerminalError: the store is down or rejects the request.
        """
        condition = None if day is None else (pc.field("event_date") == day) | pc.field("event_date").is_null()
        try:
            content = pa.BufferReader(read_file(self._filesystem, versions.path))
            rows = pq.read_table(content, filters=condition).sort_by(
                [("version", "ascending"), ("topic_id", "ascending"), ("partition", "ascending")]
            )
        except (OSError, pa.ArrowInvalid) as error:
            raise store_error(self._uri, error) from error
        return list(_ranges(rows.to_pylist()))

    def time(self, versions: ArchivedVersions) -> int:
        """Returns when the object's last version was committed, in milliseconds since 1970."""
        try:
            with self._filesystem.open_input_file(versions.path) as file:
                return int(pq.read_schema(file).metadata[_TIME])
        except (OSError, pa.ArrowInvalid) as error:
            raise store_error(self._uri, error) from error

    def write(self, first: int, last: int, ranges: Sequence[CommittedRange], milliseconds: int) -> None:
        """Adds the ranges of some versions. Writing the same versions again writes the same object.

        Args:
            first: the first version.
            last: the last version.
            ranges: all ranges that these versions recorded.
            milliseconds: when the last version was committed.
        """
        rows = pa.Table.from_pylist([row for committed in ranges for row in _rows(committed)], _SCHEMA)
        rows = rows.sort_by([("event_date", "ascending"), ("version", "ascending")])
        rows = rows.replace_schema_metadata({_TIME: str(milliseconds)})
        try:
            with self._filesystem.open_output_stream(f"{ARCHIVE}/{first:020d}-{last:020d}.parquet") as file:
                pq.write_table(rows, file, compression="zstd", row_group_size=10_000)
        except OSError as error:
            raise store_error(self._uri, error) from error


def _rows(committed: CommittedRange) -> Iterator[dict[str, Any]]:
    row = {
        "version": committed.version,
        "topic_id": committed.topic_id,
        "partition": committed.partition,
        "first": committed.start_offset,
        "next": committed.next_offset,
        "rows": committed.rows,
        "hash": bytes.fromhex(committed.hash),
    }
    for day, recorded in committed.dates.items():
        yield row | {"event_date": day, "date_rows": recorded.rows, "date_hash": bytes.fromhex(recorded.hash)}
    if not committed.dates:
        yield row


def _ranges(rows: Sequence[dict[str, Any]]) -> Iterator[CommittedRange]:
    """Joins the rows of each range, which follow each other."""
    dates: dict[date, DateHash] = {}
    for number, row in enumerate(rows):
        if row["event_date"] is not None:
            dates[row["event_date"]] = DateHash(row["date_rows"], row["date_hash"].hex())
        range_id = ("version", "topic_id", "partition")
        if number + 1 == len(rows) or any(rows[number + 1][name] != row[name] for name in range_id):
            yield CommittedRange(
                version=row["version"],
                topic_id=row["topic_id"],
                partition=row["partition"],
                start_offset=row["first"],
                next_offset=row["next"],
                rows=row["rows"],
                hash=row["hash"].hex(),
                dates=dates,
            )
            dates = {}
