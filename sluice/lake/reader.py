"""Reading the lake: only the files that can hold what is asked for, and only the columns."""

import json
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError
from pyarrow.fs import PyFileSystem

from sluice.contracts import Contract
from sluice.errors import TerminalError
from sluice.lake.errors import NoTableError, store_fault
from sluice.lake.files import TableFiles
from sluice.lake.layout import PARTITION_COLUMN, SCHEMA, storage_options, table_uri, transaction_id
from sluice.lake.ranges import CommittedRange, PartitionKey, Range, read_commit_history, within
from sluice.settings import Settings

_NEWEST = 10
"""Commits that are looked through for the ids of topics of which no row has come yet."""
_BATCH_ROWS = 32_768
_DENSEST_OF = 10

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Recent:
    """The newest commits, back to those that hold given offsets."""

    commits: list[CommittedRange]
    """What they brought, in the order of versions."""
    added: dict[int, frozenset[str]]
    """Per version, the files that it added; some may be gone again."""

    def paths(self, ranges: Sequence[Range]) -> frozenset[str]:
        """The files that can hold any of the ranges: those of commits that brought some, and those of joined files."""
        wanted = {each.key: each for each in ranges}
        bringing = {each.version for each in self.commits}
        needed = {
            each.version
            for each in self.commits
            if (held := wanted.get(each.key))
            and each.start_offset < held.next_offset
            and held.start_offset < each.next_offset
        }
        return frozenset().union(*(self.added[version] for version in self.added.keys() - (bringing - needed)))


class LakeReader:
    """One stream's table at the version it had when this was made. Everything read is of that version."""

    def __init__(self, settings: Settings, stream: str) -> None:
        """Opens the table.

        Raises:
            TransientError: there is none yet, or the store does not answer.
            TerminalError: the store refuses.
        """
        self.uri = table_uri(settings, stream)
        options = storage_options(settings, "reader")
        try:
            self.table = DeltaTable(self.uri, storage_options=options)
            self.files = pa.table(self.table.get_add_actions(flatten=True))
        except TableNotFoundError as error:
            raise NoTableError(self.uri) from error
        except (DeltaError, OSError) as error:
            raise store_fault(self.uri, error) from error
        sizes = dict(zip(self._column("path"), self._column("size_bytes"), strict=True))
        self._store = TableFiles(self.uri, options, sizes)
        self._filesystem = PyFileSystem(self._store)
        self._format = ds.ParquetFileFormat()

    def next_offsets(self, topic_ids: Iterable[str], contract: Contract) -> dict[PartitionKey, int]:
        """The next offset of every partition that has one, of all topics that are known, in files or to the caller."""
        try:
            newest = read_commit_history(self.table.history(_NEWEST), self.table.version()).ranges
        except (DeltaError, OSError) as error:
            raise store_fault(self.uri, error) from error
        known = {*topic_ids, *(each.topic_id for each in newest), *self._topic_ids()}
        partitions = max(
            [contract.topic.partitions, *(int(each) + 1 for each in self._column("max.partition") if each)]
        )
        found = {
            (topic_id, partition): self.transaction(transaction_id(topic_id, partition))
            for topic_id in sorted(known)
            for partition in range(partitions)
        }
        return {place: head for place, head in found.items() if head}

    def transaction(self, name: str) -> int:
        """The version of an application transaction; 0 where there is none.

        Raises:
            TransientError, TerminalError: the store does not answer, or refuses.
        """
        try:
            return self.table.transaction_version(name) or 0
        except (DeltaError, OSError) as error:
            raise store_fault(self.uri, error) from error

    def recent(self, ranges: Sequence[Range]) -> Recent | None:
        """The newest commits, back to where the ranges begin; None if the log does not reach back so far.

        Raises:
            TransientError, TerminalError: the store does not answer, or refuses.
        """
        wanted = {each.key: each.start_offset for each in ranges}
        commits: list[CommittedRange] = []
        added: dict[int, frozenset[str]] = {}
        version = self.table.version()
        while wanted:
            actions = self._actions(version) if version >= 0 else None
            if actions is None:
                return None
            info: dict[str, Any] = next((each["commitInfo"] for each in actions if "commitInfo" in each), {})
            brought = read_commit_history([info | {"version": version}], version).ranges
            commits[:0] = brought
            added[version] = frozenset(each["add"]["path"] for each in actions if "add" in each)
            for each in brought:
                if each.start_offset <= wanted.get(each.key, -1):
                    del wanted[each.key]
            version -= 1
        return Recent(commits, added)

    def holding(
        self, ranges: Sequence[Range], paths: frozenset[str] | None = None, day: date | None = None
    ) -> pa.Table:
        """The files, as the log describes them, that can hold rows of any of the ranges.

        Args:
            ranges: which offsets.
            paths: the only ones that come into question, if that is known.
            day: the only event date, if one is asked for.
        """
        files = self.files
        if day is not None and files.num_rows:
            files = files.filter(pc.equal(files[f"partition.{PARTITION_COLUMN}"], pa.scalar(day, pa.date32())))
        if paths is not None and files.num_rows:
            files = files.filter(pc.is_in(files["path"], pa.array(sorted(paths), pa.string())))
        if not files.num_rows:
            return files
        return files.filter(pa.array(_may_hold(files, ranges)))

    def row_bytes(self, files: pa.Table) -> float:
        """Bytes that a row of these files takes in memory, by the densest of the ten largest; 0 for no file."""
        if not files.num_rows:
            return 0.0
        largest = files.sort_by([("size_bytes", "descending")]).slice(0, _DENSEST_OF)
        try:
            # At once: each is a question to the store or two.
            with ThreadPoolExecutor(_DENSEST_OF) as executor:
                return max(executor.map(_row_bytes, self._fragments(largest)))
        except (OSError, pa.ArrowException) as error:
            raise self._fault(error) from error

    def rows(self, condition: pc.Expression, columns: list[str], day: date | None = None) -> pa.Table:
        """The rows that fulfil a condition, of one event date if it is given.

        Raises:
            TerminalError: a data file is missing or damaged; the message names it.
            TransientError: the store does not answer.
        """
        files = self.files
        if day is not None and files.num_rows:
            files = files.filter(pc.equal(files[f"partition.{PARTITION_COLUMN}"], pa.scalar(day, pa.date32())))
        schema = pa.schema([SCHEMA.field(name) for name in columns])
        return pa.Table.from_batches(self._scan(self._fragments(files), columns, condition), schema)

    def batches(self, files: pa.Table, ranges: Sequence[Range], columns: list[str]) -> Iterator[pa.RecordBatch]:
        """The rows of files that are in any of the ranges, a part at a time, with little read ahead.

        Args:
            files: as ``holding`` gives them.
            ranges: which offsets.
            columns: topic_id, partition and offset, and what else is wanted.

        Raises:
            TerminalError: a data file is missing or damaged; the message names it.
            TransientError: the store does not answer.
        """
        try:
            # Row groups are left out by their statistics.
            fragments = [fragment.subset(within(ranges)) for fragment in self._fragments(files)]
        except (OSError, pa.ArrowInvalid) as error:
            raise self._fault(error) from error
        for batch in self._scan(fragments, columns, None):
            inside = _inside(batch, ranges)
            # Mostly all rows are, and to test numbers here costs a tenth of a filter in the scan.
            yield batch if inside.all() else batch.filter(pa.array(inside))

    def _scan(
        self, fragments: Sequence[ds.ParquetFileFragment], columns: list[str], condition: pc.Expression | None
    ) -> Iterator[pa.RecordBatch]:
        dataset = ds.FileSystemDataset(fragments, SCHEMA, self._format, self._filesystem)
        scanner = dataset.scanner(
            columns=columns, filter=condition, batch_size=_BATCH_ROWS, batch_readahead=2, fragment_readahead=2
        )
        batches = scanner.to_batches()
        try:
            yield from batches
        except (OSError, pa.ArrowInvalid) as error:
            raise self._fault(error) from error
        finally:
            del batches, scanner, dataset
            self._store.settle()

    def _fault(self, error: Exception) -> Exception:
        if isinstance(error, FileNotFoundError):
            return TerminalError(f"{self.uri}: a data file is missing: {error}", "restore it: the log names it")
        if isinstance(error, pa.ArrowInvalid):
            return TerminalError(f"{self.uri}: a data file is damaged: {error}", "restore it from a copy")
        return store_fault(self.uri, error)

    def _fragments(self, files: pa.Table) -> list[ds.ParquetFileFragment]:
        if not files.num_rows:
            return []
        return [
            self._format.make_fragment(path, self._filesystem, partition_expression=ds.field(PARTITION_COLUMN) == day)
            for path, day in zip(
                files["path"].to_pylist(), files[f"partition.{PARTITION_COLUMN}"].to_pylist(), strict=True
            )
        ]

    def _actions(self, version: int) -> list[dict[str, Any]] | None:
        """What a version's log file says; None if it was cleaned away."""
        try:
            with self._filesystem.open_input_stream(f"_delta_log/{version:020d}.json") as file:
                return [json.loads(line) for line in file.read().splitlines() if line]
        except FileNotFoundError:
            return None
        except OSError as error:
            raise store_fault(self.uri, error) from error

    def _topic_ids(self) -> set[str]:
        """Of the topics that files hold rows of."""
        lowest, highest = self._column("min.topic_id"), self._column("max.topic_id")
        mixed = [low != high or low is None for low, high in zip(lowest, highest, strict=True)]
        found = {*lowest, *highest} - {None}
        if any(mixed):
            # Between a file's first and last id may be others.
            files = self.files.filter(pa.array(mixed))
            for batch in self._scan(self._fragments(files), ["topic_id"], None):
                found.update(batch["topic_id"].unique().to_pylist())
        return found

    def _column(self, name: str) -> list[Any]:
        return self.files[name].to_pylist() if name in self.files.column_names else [None] * self.files.num_rows


def _row_bytes(fragment: ds.ParquetFileFragment) -> float:
    rows: int = fragment.metadata.num_rows
    return float(sum(group.total_byte_size for group in fragment.row_groups)) / max(rows, 1)


def _inside(rows: pa.RecordBatch, ranges: Sequence[Range]) -> Mask:
    """Per row, whether it is in any of the ranges."""
    topics = rows["topic_id"].dictionary_encode()
    codes = {topic_id: code for code, topic_id in enumerate(topics.dictionary.to_pylist())}
    codes_here, partitions, offsets = topics.indices.to_numpy(), rows["partition"].to_numpy(), rows["offset"].to_numpy()
    found = np.zeros(rows.num_rows, np.bool_)
    for each in ranges:
        if each.topic_id in codes:
            found |= (
                (partitions == each.partition)
                & (offsets >= each.start_offset)
                & (offsets < each.next_offset)
                & (codes_here == codes[each.topic_id])
            )
    return found


def _may_hold(files: pa.Table, ranges: Sequence[Range]) -> Mask:
    """Per file, whether its statistics leave room for a row of any of the ranges; a file may have none."""
    found = np.zeros(files.num_rows, np.bool_)
    if any(f"{end}.{name}" not in files.column_names for end in ("min", "max") for name in ("topic_id", "offset")):
        return ~found
    for each in ranges:
        inside = [
            pc.less_equal(files["min.topic_id"], each.topic_id),
            pc.greater_equal(files["max.topic_id"], each.topic_id),
            pc.less_equal(files["min.partition"], each.partition),
            pc.greater_equal(files["max.partition"], each.partition),
            pc.less(files["min.offset"], each.next_offset),
            pc.greater_equal(files["max.offset"], each.start_offset),
        ]
        fits = np.ones(files.num_rows, np.bool_)
        for test in inside:
            fits &= pc.fill_null(test, True).to_numpy()
        found |= fits
    return found
