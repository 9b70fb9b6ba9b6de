"""What the sink reads from and writes to: Kafka's side and the lake's, as its loop sees them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from sluice.lake.chunk import Chunk
from sluice.lake.table import AppendResult


@dataclass(frozen=True, order=True)
class TopicPartition:
    """One partition of a stream's topic."""

    stream: str
    partition: int


@dataclass(frozen=True)
class Records:
    """Records of one partition in offset order, as lake rows. ``next_offset`` is where to resume.

    Offsets below it that are not among the rows have no record: transaction markers, or records of aborted
    transactions.
    """

    topic_partition: TopicPartition
    rows: pa.Table
    next_offset: int


class Source(Protocol):
    """The source of records: Kafka, implemented in ``consumer.py``."""

    def check(self, topic_partition: TopicPartition, topic_id: str, next_offset: int, last_record: int) -> None:
        """Raises a TerminalError if the partition does not continue there, after that record if it is known."""

    def assign(self, next_offsets: Mapping[TopicPartition, int | None]) -> None:
        """Takes over partitions and begins to read them at these offsets, whether or not others are paused.

        A partition without an offset is not read.
        """

    def poll(self, timeout: float) -> Sequence[Records]:
        """Returns the records that arrive within ``timeout`` seconds."""

    def seek(self, topic_partition: TopicPartition, offset: int) -> None:
        """Resumes reading a partition at that offset."""

    def commit_offsets(self, next_offsets: dict[TopicPartition, int]) -> None:
        """Commits the lake's next offsets to the consumer group, for lag displays only."""

    def pause(self, topic_partitions: Collection[TopicPartition]) -> None:
        """Stops reading partitions while keeping them."""

    def resume(self, topic_partitions: Collection[TopicPartition]) -> None:
        """Resumes reading paused partitions."""

    def high_watermarks(self, topic_partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Returns the partitions' ends in Kafka, as far as they are known without a request."""

    def topic_id(self, stream: str) -> str | None:
        """Returns the current id of the stream's topic, uncached; None if the topic does not exist."""


class Table(Protocol):
    """A stream's table in the lake."""

    def open(self) -> object:
        """Reads the newest version."""

    def next_offset(self, topic_id: str, partition: int) -> int:
        """Returns the partition's next offset as of the newest version read so far."""

    def last_record(self, topic_id: str, partition: int) -> int:
        """Returns the digest of the record before the next offset; 0 if it is not known."""

    def append(self, chunks: Sequence[Chunk]) -> AppendResult:
        """Commits chunks and their progress atomically."""
