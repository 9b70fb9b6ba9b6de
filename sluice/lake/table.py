"""A stream's Delta table: next offsets per partition, and commits that write data and progress atomically."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import (
    ColumnProperties,
    CommitProperties,
    DeltaTable,
    PostCommitHookProperties,
    Transaction,
    WriterProperties,
    write_deltalake,
)
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.fs import DeltaStorageHandler
from pyarrow.fs import PyFileSystem

from sluice.errors import TerminalError, TransientError
from sluice.lake.chunk import Chunk, hashes, record_digest
from sluice.lake.date_files import write_date_files
from sluice.lake.errors import NoTableError, store_error
from sluice.lake.layout import PARTITION_COLUMN, RANGES_KEY, SCHEMA, empty_id, last_id, transaction_id

_MAX_ATTEMPTS = 10
_MANY_DATES = 64
"""Above this many event dates in a commit, delta-rs takes more memory for its writers than the rows take."""
_CHECKPOINT_INTERVAL = 100
"""delta-rs writes a checkpoint every 100 versions."""
# Statistics only for the columns by which readers prune; no dictionary where nearly every value is distinct.
_OPAQUE = ColumnProperties(dictionary_enabled=False, statistics_enabled="NONE")
_WRITER = WriterProperties(
    compression="ZSTD",
    compression_level=1,
    column_properties={"key": _OPAQUE, "value": _OPAQUE, "offset": ColumnProperties(dictionary_enabled=False)},
)
# The writer is not allowed to delete; maintenance removes expired log files.
_HOOKS = PostCommitHookProperties(create_checkpoint=True, cleanup_expired_logs=False)


@dataclass
class AppendResult:
    """The outcome of an append: chunks that are in the lake, and chunks whose partition another writer took over."""

    version: int
    committed: list[Chunk] = field(default_factory=list)
    fenced: list[Chunk] = field(default_factory=list)


class LakeTable:
    """One stream's table, as seen by one process. Not thread-safe."""

    def __init__(self, uri: str, options: dict[str, str]) -> None:
        self.uri = uri
        self._options = options
        self._table: DeltaTable | None = None
        self._opened_version = 0

    def open(self) -> DeltaTable:
        """Returns the table at its newest version.

        Raises:
            TransientError: the table does not exist yet, or the store is down.
            TerminalError: the store rejects the request, or the table does not belong to the lake.
        """
        try:
            if self._table is None:
                self._table = DeltaTable(self.uri, storage_options=self._options)
                self._check_schema(self._table)
                self._opened_version = self._table.version()
            else:
                self._table.update_incremental()
        except TableNotFoundError as error:
            raise NoTableError(self.uri) from error
        except (DeltaError, OSError) as error:
            self._table = None
            raise store_error(self.uri, error) from error
        return self._table

    def create(self) -> None:
        """Creates the table if it does not exist. Safe to call concurrently.

        Raises:
            TerminalError, TransientError: as in ``open``.
        """
        try:
            if not DeltaTable.is_deltatable(self.uri, self._options):
                DeltaTable.create(
                    self.uri, SCHEMA, mode="error", partition_by=PARTITION_COLUMN, storage_options=self._options
                )
        except (DeltaError, OSError) as error:
            if "already exists" not in str(error):
                raise store_error(self.uri, error) from error
        self.open()

    def next_offset(self, topic_id: str, partition: int) -> int:
        """Returns a partition's next offset as of the newest version read so far; 0 for an unknown partition."""
        return self._transaction(transaction_id(topic_id, partition))

    def empty_offsets(self, topic_id: str, partition: int) -> int:
        """Returns how many offsets below the next offset have no record, as of the newest version read so far."""
        return self._transaction(empty_id(topic_id, partition))

    def last_record(self, topic_id: str, partition: int) -> int:
        """Returns the digest of the record before the next offset; 0 if it is not known."""
        return self._transaction(last_id(topic_id, partition))

    def append(self, chunks: Sequence[Chunk]) -> AppendResult:
        """Commits chunks of different partitions, all in one version.

        A chunk is committed only from a snapshot in which its partition's next offset equals the chunk's start offset.
        If another writer has committed the partition since the snapshot, the commit conflicts: the next offsets are
        read again, and chunks of partitions that were taken over are returned as fenced. A lost response is resolved
        the same way: a chunk that ends at the partition's next offset is in the lake.

        Raises:
            TransientError: the store is down, or the outcome of the commit is not known yet. It is safe to retry with
                the same chunks.
            TerminalError: the store rejects the request.
        """
        table = self._table or self.open()
        result = AppendResult(version=table.version())
        pending = list(chunks)
        for _ in range(_MAX_ATTEMPTS):
            writable = []
            for chunk in pending:
                next_offset = self.next_offset(chunk.topic_id, chunk.partition)
                if next_offset == chunk.start_offset:
                    writable.append(chunk)
                elif next_offset == chunk.next_offset:
                    result.committed.append(chunk)
                else:
                    result.fenced.append(chunk)
            pending = writable
            if not pending:
                return result
            try:
                self._write(table, pending)
            except CommitFailedError:
                table = self.open()
            except (DeltaError, OSError) as error:
                self._table = None
                raise store_error(self.uri, error) from error
            else:
                result.version = table.version()
                result.committed.extend(pending)
                if result.version - self._opened_version >= _CHECKPOINT_INTERVAL:
                    # With every commit, a snapshot reads the whole log since it was opened; a new snapshot starts at
                    # the last checkpoint.
                    self._table = None
                return result
        raise TransientError(
            f"{self.uri}: {_MAX_ATTEMPTS} commits in a row conflicted with other writers", "retry the commit"
        )

    def _transaction(self, application_id: str) -> int:
        table = self._table or self.open()
        try:
            return table.transaction_version(application_id) or 0
        except (DeltaError, OSError) as error:
            # The version is read from the log files, not from memory.
            self._table = None
            raise store_error(self.uri, error) from error

    def _write(self, table: DeltaTable, chunks: Sequence[Chunk]) -> None:
        ranges = [_range(chunk) for chunk in chunks]
        progress = [Transaction(transaction_id(chunk.topic_id, chunk.partition), chunk.next_offset) for chunk in chunks]
        for chunk in chunks:
            progress += (Transaction(name, version) for name, version in chunk.transactions.items())
            # A chunk without offsets only carries its transactions.
            if chunk.next_offset > chunk.start_offset:
                digest = record_digest(chunk.rows, chunk.next_offset)
                progress.append(Transaction(last_id(chunk.topic_id, chunk.partition), digest))
            if empty := chunk.next_offset - chunk.start_offset - chunk.rows.num_rows:
                total = self.empty_offsets(chunk.topic_id, chunk.partition) + empty
                progress.append(Transaction(empty_id(chunk.topic_id, chunk.partition), total))
        properties = CommitProperties(
            custom_metadata={RANGES_KEY: json.dumps(ranges, separators=(",", ":"))}, app_transactions=progress
        )
        rows = pa.concat_tables([chunk.rows for chunk in chunks])
        if pc.count_distinct(rows[PARTITION_COLUMN]).as_py() > _MANY_DATES:
            table.create_write_transaction(
                write_date_files(PyFileSystem(DeltaStorageHandler(self.uri, self._options)), rows),
                "append",
                SCHEMA,
                PARTITION_COLUMN,
                commit_properties=properties,
                post_commithook_properties=_HOOKS,
            )
            # Unlike the other call, this one leaves the snapshot as it was.
            table.update_incremental()
        else:
            write_deltalake(
                table,
                rows,
                mode="append",
                writer_properties=_WRITER,
                commit_properties=properties,
                post_commithook_properties=_HOOKS,
            )

    def _check_schema(self, table: DeltaTable) -> None:
        names = [column.name for column in table.schema().fields]
        if names != SCHEMA.names:
            raise TerminalError(
                f"{self.uri}: not a table of this lake: its columns are {', '.join(names)}",
                "set SLUICE_LAKE_BUCKET to another bucket",
            )


def _range(chunk: Chunk) -> dict[str, object]:
    """Returns what the commit records of a chunk."""
    value_hash, dates = hashes(chunk.rows)
    return {
        "topic_id": chunk.topic_id,
        "partition": chunk.partition,
        "first": chunk.start_offset,
        "next": chunk.next_offset,
        "rows": chunk.rows.num_rows,
        "hash": value_hash,
        "dates": dates,
        **chunk.metadata,
    }
