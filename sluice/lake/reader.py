"""Reads the lake: only the files that can contain the requested rows, and only the requested columns."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError
from deltalake.fs import DeltaStorageHandler
from pyarrow.fs import PyFileSystem

from sluice.errors import TerminalError
from sluice.lake.bucket import Owner
from sluice.lake.commit_log import CommitLog, LogSlice
from sluice.lake.date_check import DateCheck
from sluice.lake.errors import NoTableError, corrupt_error, store_error
from sluice.lake.files import read_files
from sluice.lake.layout import PARTITION_COLUMN, SCHEMA, storage_options, table_uri, transaction_partition
from sluice.lake.ranges import PartitionKey, Range, within
from sluice.settings import Settings

_BATCH_ROWS = 32_768
_PAGE_BUFFER_BYTES = 1 << 20
_SAMPLED_FILES = 10
_FORMAT = ds.ParquetFileFormat()

Mask = npt.NDArray[np.bool_]


class LakeReader:
    """One stream's table, pinned to the version that was current when the reader was created."""

    def __init__(self, settings: Settings, stream: str, owner: Owner = "reader") -> None:
        """Opens the table with an owner's keys.

        Raises:
            TransientError: the table does not exist yet, or the store is down.
            TerminalError: the store rejects the request.
        """
        self.uri = table_uri(settings, stream)
        options = storage_options(settings, owner)
        try:
            self.table = DeltaTable(self.uri, storage_options=options)
            self.files = pa.table(self.table.get_add_actions(flatten=True))
        except TableNotFoundError as error:
            raise NoTableError(self.uri) from error
        except (DeltaError, OSError) as error:
            raise store_error(self.uri, error) from error
        sizes = dict(zip(self._column("path"), self._column("size_bytes"), strict=True))
        self._paths = frozenset(sizes)
        self._filesystem = PyFileSystem(DeltaStorageHandler(self.uri, options, sizes))
        self._log = CommitLog(self.uri, self._filesystem, self.table.version())

    def next_offsets(self) -> dict[PartitionKey, int]:
        """Returns the next offset of every partition that has one, also of topics that were deleted. Reads no file.

        Raises:
            TransientError, TerminalError: the store is down or rejects the request.
        """
        versions = self._log.transactions()
        keys = ((transaction_partition(name), version) for name, version in versions.items() if version)
        return {key: version for key, version in keys if key is not None}

    def transaction(self, name: str) -> int:
        """Returns the version of an application transaction; 0 if it does not exist.

        Raises:
            TransientError, TerminalError: the store is down or rejects the request.
        """
        try:
            return self.table.transaction_version(name) or 0
        except (DeltaError, OSError) as error:
            raise store_error(self.uri, error) from error

    def slices(self, ranges: Sequence[Range]) -> Iterator[LogSlice]:
        """Yields the ranges piece by piece, with the commits that wrote them; as ``CommitLog.slices``."""
        return self._log.slices(ranges)

    def check_date(self, day: date, ranges: Sequence[Range]) -> DateCheck:
        """Returns a check of one event date's rows in the ranges against what the commits recorded."""
        files = self._date_files(self.files, day)
        newest = pc.max(files["modification_time"]).as_py() if files.num_rows else None
        return DateCheck(day, ranges, self._log.date_commits(day, _milliseconds(newest)))

    def candidate_files(
        self, ranges: Sequence[Range], part: LogSlice | None = None, day: date | None = None
    ) -> pa.Table:
        """Returns the files, as described by the log, that can contain rows of any of the ranges.

        Args:
            ranges: the offsets to look for.
            part: the slice that contains the ranges, if it is known. A commit's file spans the offsets of all its
                partitions, so the statistics alone rule out few other files.
            day: the only event date to consider, if given.
        """
        files = self.files
        paths = part.paths(ranges, self._paths) if part else None
        if day is not None:
            files = self._date_files(files, day)
        if paths is not None and files.num_rows:
            files = files.filter(pc.is_in(files["path"], pa.array(sorted(paths), pa.string())))
        if not files.num_rows:
            return files
        return files.filter(pa.array(_may_contain(files, ranges)))

    def row_bytes(self, files: pa.Table) -> float:
        """Returns the bytes per row in memory, as the maximum over the ten largest files; 0 for no files."""
        if not files.num_rows:
            return 0.0
        largest = files.sort_by([("size_bytes", "descending")]).slice(0, _SAMPLED_FILES)
        # In parallel: each file takes one or two requests to the store.
        with ThreadPoolExecutor(_SAMPLED_FILES) as executor:
            return max(executor.map(self._row_bytes, largest["path"].to_pylist()))

    def rows(self, condition: pc.Expression, columns: list[str], day: date | None = None) -> pa.Table:
        """Returns the rows that match a condition, of one event date if given.

        Raises:
            TerminalError: a data file is missing or corrupt; the message names it.
            TransientError: the store is down.
        """
        files = self.files if day is None else self._date_files(self.files, day)
        schema = pa.schema([SCHEMA.field(name) for name in columns])
        return pa.Table.from_batches(self._scan(files, columns, condition), schema)

    def batches(self, files: pa.Table, ranges: Sequence[Range], columns: list[str]) -> Iterator[pa.RecordBatch]:
        """Yields the rows in any of the ranges, in batches.

        Args:
            files: the files to read, from ``candidate_files``.
            ranges: the offsets to return.
            columns: topic_id, partition and offset, plus any others.

        Raises:
            TerminalError: a data file is missing or corrupt; the message names it.
            TransientError: the store is down.
        """
        for batch in self._scan(files, columns, row_groups=within(ranges)):
            matches = _in_ranges(batch, ranges)
            # Usually all rows match, and comparing numbers here costs a tenth of a filter in the scan.
            yield batch if matches.all() else batch.filter(pa.array(matches))

    def offset_batches(self, files: pa.Table) -> Iterator[tuple[date, pa.RecordBatch]]:
        """Yields the date and the topic_id, partition and offset of all rows, file by file.

        Page by page, since a row group of these columns alone can take 100 MB.

        Args:
            files: the files to read, from ``files`` or ``candidate_files``.

        Raises:
            TerminalError, TransientError: as ``batches``.
        """
        if not files.num_rows:
            return
        for path, day in zip(
            *(files[name].to_pylist() for name in ("path", f"partition.{PARTITION_COLUMN}")), strict=True
        ):
            try:
                with self._filesystem.open_input_file(path) as source:
                    file = pq.ParquetFile(
                        source, buffer_size=_PAGE_BUFFER_BYTES, pre_buffer=False, read_dictionary=["topic_id"]
                    )
                    for batch in file.iter_batches(_BATCH_ROWS, columns=["topic_id", "partition", "offset"]):
                        yield day, batch
            except (OSError, pa.ArrowException) as error:
                raise self._read_error(path, error) from error

    def find(self, partition: int, offset: int) -> list[str]:
        """Returns the paths of the files that hold a record; several if the topic was deleted and created again.

        Raises:
            TerminalError, TransientError: as ``batches``.
        """
        files = self.files
        for name, value in (("partition", partition), ("offset", offset)):
            for bound, excludes in (("min", pc.greater), ("max", pc.less)):
                if files.num_rows and f"{bound}.{name}" in files.column_names:
                    # A file may have no statistics.
                    files = files.filter(pc.invert(pc.fill_null(excludes(files[f"{bound}.{name}"], value), False)))
        condition = (pc.field("partition") == partition) & (pc.field("offset") == offset)
        return [
            path
            for number, path in enumerate(files["path"].to_pylist() if files.num_rows else [])
            if any(batch.num_rows for batch in self._scan(files.slice(number, 1), ["offset"], condition))
        ]

    def rows_per_date(self) -> dict[date, int | None]:
        """Returns the rows of each date according to the log; None where a file has no statistics. Reads no file."""
        if not self.files.num_rows:
            return {}
        counts = self.files.group_by(f"partition.{PARTITION_COLUMN}").aggregate(
            [("num_records", "sum", pc.ScalarAggregateOptions(skip_nulls=False))]
        )
        return dict(zip(*(column.to_pylist() for column in counts.columns), strict=True))

    def _scan(
        self,
        files: pa.Table,
        columns: list[str],
        condition: pc.Expression | None = None,
        row_groups: pc.Expression | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Yields the files' rows that match a condition; skips row groups whose statistics rule out another one."""
        if not files.num_rows:
            return
        paths, sizes, days = (
            files[name].to_pylist() for name in ("path", "size_bytes", f"partition.{PARTITION_COLUMN}")
        )
        contents = read_files(self._filesystem, paths, sizes)
        with closing(contents):
            for path, day in zip(paths, days, strict=True):
                try:
                    content = next(contents)
                except OSError as error:
                    raise self._read_error(path, error) from error
                try:
                    fragment = _FORMAT.make_fragment(content, partition_expression=ds.field(PARTITION_COLUMN) == day)
                    if row_groups is not None:
                        fragment = fragment.subset(row_groups)
                    yield from fragment.to_batches(
                        SCHEMA, columns=columns, filter=condition, batch_size=_BATCH_ROWS, batch_readahead=2
                    )
                except (OSError, pa.ArrowException) as error:
                    raise corrupt_error(self.uri, path, error) from error

    def _row_bytes(self, path: str) -> float:
        try:
            with self._filesystem.open_input_file(path) as source:
                metadata = pq.read_metadata(source)
        except (OSError, pa.ArrowException) as error:
            raise self._read_error(path, error) from error
        size = sum(metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups))
        return float(size / max(metadata.num_rows, 1))

    def _read_error(self, path: str, error: Exception) -> Exception:
        if isinstance(error, FileNotFoundError):
            return TerminalError(f"{self.uri}: the file {path} is missing", "restore it from a backup")
        if isinstance(error, pa.ArrowException):
            return corrupt_error(self.uri, path, error)
        return store_error(self.uri, error)

    def _date_files(self, files: pa.Table, day: date) -> pa.Table:
        if not files.num_rows:
            return files
        return files.filter(pc.equal(files[f"partition.{PARTITION_COLUMN}"], pa.scalar(day, pa.date32())))

    def _column(self, name: str) -> list[Any]:
        return self.files[name].to_pylist() if name in self.files.column_names else [None] * self.files.num_rows


def _milliseconds(moment: Any) -> int:
    """Returns a file's time as the log gives it, a number or a datetime, in milliseconds since 1970; 0 for None."""
    return int(moment.timestamp() * 1000) if hasattr(moment, "timestamp") else int(moment or 0)


def _in_ranges(rows: pa.RecordBatch, ranges: Sequence[Range]) -> Mask:
    """Returns, per row, whether it is in any of the ranges."""
    topics = rows["topic_id"].dictionary_encode()
    codes = {topic_id: code for code, topic_id in enumerate(topics.dictionary.to_pylist())}
    row_codes, partitions, offsets = topics.indices.to_numpy(), rows["partition"].to_numpy(), rows["offset"].to_numpy()
    matches = np.zeros(rows.num_rows, np.bool_)
    for wanted in ranges:
        if wanted.topic_id in codes:
            matches |= (
                (partitions == wanted.partition)
                & (offsets >= wanted.start_offset)
                & (offsets < wanted.next_offset)
                & (row_codes == codes[wanted.topic_id])
            )
    return matches


def _may_contain(files: pa.Table, ranges: Sequence[Range]) -> Mask:
    """Returns, per file, whether its statistics allow a row in any of the ranges. A file may have no statistics."""
    matches = np.zeros(files.num_rows, np.bool_)
    if any(f"{bound}.{name}" not in files.column_names for bound in ("min", "max") for name in ("topic_id", "offset")):
        return ~matches
    for wanted in ranges:
        conditions = [
            pc.less_equal(files["min.topic_id"], wanted.topic_id),
            pc.greater_equal(files["max.topic_id"], wanted.topic_id),
            pc.less_equal(files["min.partition"], wanted.partition),
            pc.greater_equal(files["max.partition"], wanted.partition),
            pc.less(files["min.offset"], wanted.next_offset),
            pc.greater_equal(files["max.offset"], wanted.start_offset),
        ]
        possible = np.ones(files.num_rows, np.bool_)
        for condition in conditions:
            possible &= pc.fill_null(condition, True).to_numpy()
        matches |= possible
    return matches
