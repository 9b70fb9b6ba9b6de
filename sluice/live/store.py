"""A live view's state and the offsets it has read to, both in Postgres and changed in one transaction."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import LiteralString

import psycopg

from sluice.contracts import Contract
from sluice.errors import SluiceError, TerminalError
from sluice.live.group import live_group
from sluice.live.view import Cursor, Record, View
from sluice.settings import Settings
from sluice.warehouse.connect import connect, refusal
from sluice.warehouse.failures import cause, is_transient

log = logging.getLogger(__name__)

PartitionKey = tuple[str, int]
"""A topic's id and one of its partitions."""

# Another process may have read further meanwhile; everything before the larger offset is in the state either way.
_SAVE_OFFSETS: LiteralString = """
    insert into live.partitions as known (stream, topic_id, partition, next_offset)
    select * from unnest(%s::text[], %s::text[], %s::integer[], %s::bigint[])
    on conflict (topic_id, partition) do update set
        next_offset = greatest(known.next_offset, excluded.next_offset)
"""


class Store:
    """A connection as the role ``live``. Every method raises a TransientError while Postgres is down.

    It raises a TerminalError if Postgres rejects a statement; a record that it rejects is skipped.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connection = connect(settings, "live")
        with self._transaction() as cursor:
            # A crash of Postgres may lose the last transactions: state and offsets together, so they are read again.
            cursor.execute("set synchronous_commit = off")

    @property
    def group(self) -> str:
        """The consumer group of the live views in this warehouse."""
        with self._transaction() as cursor:
            return live_group(cursor)

    def next_offsets(self, topic_ids: Iterable[str]) -> dict[PartitionKey, int]:
        """Returns the offset to resume at, for each partition that was read before."""
        with self._transaction() as cursor:
            cursor.execute(
                "select topic_id, partition, next_offset from live.partitions where topic_id = any(%s)",
                (list(topic_ids),),
            )
            return {(str(topic_id), int(str(partition))): int(str(offset)) for topic_id, partition, offset in cursor}

    def rewind(self, partitions: Iterable[PartitionKey]) -> None:
        """Forgets how far these partitions were read."""
        with self._transaction() as cursor:
            cursor.executemany(
                "update live.partitions set next_offset = 0 where topic_id = %s and partition = %s", list(partitions)
            )

    def apply(
        self,
        view: View,
        contracts: Mapping[str, Contract],
        records: Sequence[Record],
        next_offsets: Mapping[PartitionKey, int],
    ) -> list[Record]:
        """Applies records to a view and saves how far they were read: both or neither.

        A record that cannot be applied is skipped and logged: it costs itself, and the batch load says what is wrong.

        Args:
            view: the live view.
            contracts: by stream.
            records: in the order of offsets within each partition, without gaps.
            next_offsets: the offset after the last record of each partition.

        Returns:
            The records that were skipped.
        """
        streams = {record.topic_id: record.stream for record in records}
        keys = sorted(next_offsets)
        with self._transaction() as cursor:
            skipped = self._apply(cursor, view, contracts, records)
            cursor.execute(
                _SAVE_OFFSETS,
                (
                    [streams[topic_id] for topic_id, _ in keys],
                    [topic_id for topic_id, _ in keys],
                    [partition for _, partition in keys],
                    [next_offsets[key] for key in keys],
                ),
            )
        return skipped

    def beat(self) -> None:
        """Writes the heartbeat, which shows that the process is running even when no records arrive."""
        with self._transaction() as cursor:
            cursor.execute("update live.heartbeat set seen_at = now()")

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._connection.close()

    def _apply(
        self, cursor: Cursor, view: View, contracts: Mapping[str, Contract], records: Sequence[Record]
    ) -> list[Record]:
        """Applies records together, or in halves if that fails, down to the record that is at fault.

        Returns:
            The records that were skipped.
        """
        try:
            with self._connection.transaction():
                view.apply(cursor, contracts, records)
        except (SluiceError, MemoryError):
            raise
        except Exception as error:
            if isinstance(error, psycopg.Error) and is_transient(error):
                raise
            if len(records) > 1:
                middle = len(records) // 2
                return [
                    *self._apply(cursor, view, contracts, records[:middle]),
                    *self._apply(cursor, view, contracts, records[middle:]),
                ]
            place = "/".join(str(part) for part in (records[0].stream, records[0].partition, records[0].offset))
            reason = cause(error) if isinstance(error, psycopg.Error) else str(error)
            log.warning("skipped %s: %s: %s", place, type(error).__name__, reason)
            return [records[0]]
        return []

    @contextmanager
    def _transaction(self) -> Iterator[Cursor]:
        try:
            with self._connection.transaction(), self._connection.cursor() as cursor:
                yield cursor
        except psycopg.Error as error:
            if is_transient(error):
                raise refusal(self._settings, "live", error) from error
            raise TerminalError(f"the live view: Postgres: {cause(error)}", "run `make up`") from error
