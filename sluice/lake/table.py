"""A stream's Delta table: its heads, and commits that bring data and progress together or not at all."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa
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

from sluice.errors import TerminalError, TransientError
from sluice.lake.chunk import Chunk, value_hash
from sluice.lake.errors import NoTableError, store_fault
from sluice.lake.layout import PARTITION_COLUMN, RANGES_KEY, SCHEMA, empty_id, transaction_id

_ATTEMPTS = 10
_CHECKPOINT = 100
"""delta-rs writes a checkpoint each so many versions."""
# Statistics where readers prune by them; neither these nor a dictionary where nearly each record differs.
_OPAQUE = ColumnProperties(dictionary_enabled=False, statistics_enabled="NONE")
_WRITER = WriterProperties(
    compression="ZSTD",
    compression_level=1,
    column_properties={"key": _OPAQUE, "value": _OPAQUE, "offset": ColumnProperties(dictionary_enabled=False)},
)
# The writer may not delete: expired log files go in maintenance.
_HOOKS = PostCommitHookProperties(create_checkpoint=True, cleanup_expired_logs=False)


@dataclass
class Appended:
    """What became of an append's chunks: in the lake now, or taken over by another writer before."""

    version: int
    committed: list[Chunk] = field(default_factory=list)
    fenced: list[Chunk] = field(default_factory=list)


class LakeTable:
    """One stream's table, as one process sees it. Not for several threads."""

    def __init__(self, uri: str, options: dict[str, str]) -> None:
        self.uri = uri
        self._options = options
        self._table: DeltaTable | None = None
        self._opened = 0

    def open(self) -> DeltaTable:
        """The table at its newest version.

        Raises:
            TransientError: there is no such table yet, or the store does not answer.
            TerminalError: the store refuses, or the table is not the lake's.
        """
        try:
            if self._table is None:
                self._table = DeltaTable(self.uri, storage_options=self._options)
                self._check_schema(self._table)
                self._opened = self._table.version()
            else:
                self._table.update_incremental()
        except TableNotFoundError as error:
            raise NoTableError(self.uri) from error
        except (DeltaError, OSError) as error:
            self._table = None
            raise store_fault(self.uri, error) from error
        return self._table

    def create(self) -> None:
        """Makes the table if there is none; two that try at once end with one.

        Raises:
            TerminalError, TransientError: as ``open``.
        """
        try:
            if not DeltaTable.is_deltatable(self.uri, self._options):
                DeltaTable.create(
                    self.uri, SCHEMA, mode="error", partition_by=PARTITION_COLUMN, storage_options=self._options
                )
        except (DeltaError, OSError) as error:
            if "already exists" not in str(error):
                raise store_fault(self.uri, error) from error
        self.open()

    def next_offset(self, topic_id: str, partition: int) -> int:
        """The next offset of a partition, as the newest version read so far says; 0 for one it does not know."""
        return self._transaction(transaction_id(topic_id, partition))

    def empty_offsets(self, topic_id: str, partition: int) -> int:
        """How many offsets below the partition's head hold no record, as the newest version read so far says."""
        return self._transaction(empty_id(topic_id, partition))

    def append(self, chunks: Sequence[Chunk]) -> Appended:
        """Commits chunks of different partitions, all in one version.

        A chunk goes in only from a snapshot in which its partition's head is the chunk's first offset. If anyone has
        committed that partition since the snapshot, the store refuses the commit; the heads are read again, and the
        chunks that were taken over are left out as fenced. An answer that never came is settled the same way: a
        chunk whose end is the head is in the lake.

        Raises:
            TransientError: the store does not answer, or what became of the commit is not known yet. Calling again
                with the same chunks is right.
            TerminalError: the store refuses.
        """
        table = self._table or self.open()
        result = Appended(version=table.version())
        pending = list(chunks)
        for _ in range(_ATTEMPTS):
            writable = []
            for chunk in pending:
                head = self.next_offset(chunk.topic_id, chunk.partition)
                if head == chunk.start_offset:
                    writable.append(chunk)
                elif head == chunk.next_offset:
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
                raise store_fault(self.uri, error) from error
            else:
                result.version = table.version()
                result.committed.extend(pending)
                if result.version - self._opened >= _CHECKPOINT:
                    # A snapshot goes through all of the log since it was opened, at each commit; a new one starts at
                    # the last checkpoint.
                    self._table = None
                return result
        raise TransientError(f"{self.uri}: {_ATTEMPTS} commits in a row met other writers", "it is tried again")

    def _transaction(self, application: str) -> int:
        table = self._table or self.open()
        try:
            return table.transaction_version(application) or 0
        except (DeltaError, OSError) as error:
            # It is read from the log's files, not from memory.
            self._table = None
            raise store_fault(self.uri, error) from error

    def _write(self, table: DeltaTable, chunks: Sequence[Chunk]) -> None:
        ranges = [
            {
                "topic_id": chunk.topic_id,
                "partition": chunk.partition,
                "first": chunk.start_offset,
                "next": chunk.next_offset,
                "rows": chunk.rows.num_rows,
                "hash": value_hash(chunk.rows["value"]),
                **chunk.note,
            }
            for chunk in chunks
        ]
        progress = [Transaction(transaction_id(chunk.topic_id, chunk.partition), chunk.next_offset) for chunk in chunks]
        for chunk in chunks:
            if empty := chunk.next_offset - chunk.start_offset - chunk.rows.num_rows:
                total = self.empty_offsets(chunk.topic_id, chunk.partition) + empty
                progress.append(Transaction(empty_id(chunk.topic_id, chunk.partition), total))
        write_deltalake(
            table,
            pa.concat_tables([chunk.rows for chunk in chunks]),
            mode="append",
            writer_properties=_WRITER,
            commit_properties=CommitProperties(
                custom_metadata={RANGES_KEY: json.dumps(ranges, separators=(",", ":"))},
                app_transactions=progress,
            ),
            post_commithook_properties=_HOOKS,
        )

    def _check_schema(self, table: DeltaTable) -> None:
        found = [column.name for column in table.schema().fields]
        if found != SCHEMA.names:
            raise TerminalError(
                f"{self.uri}: is a Delta table with the columns {', '.join(found)}",
                "it is not this lake's: name another bucket in SLUICE_LAKE_BUCKET",
            )
