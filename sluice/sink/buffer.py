"""Buffers records that were read from Kafka and are not in the lake yet."""

from dataclasses import dataclass, field

import pyarrow as pa

from sluice.lake.chunk import Chunk


@dataclass
class PartitionBuffer:
    """The records of one partition from the lake's next offset, ``start_offset``, onwards."""

    topic_id: str
    partition: int
    start_offset: int
    next_offset: int = field(init=False)
    size: int = 0
    """Size in memory, in bytes."""
    since: float | None = None
    """When the oldest record was added, in seconds of the sink's clock; None if empty."""
    _parts: list[pa.Table] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.next_offset = self.start_offset

    def add(self, rows: pa.Table, next_offset: int, now: float) -> None:
        """Adds records in offset order. ``next_offset`` is where to resume, past any offsets without a record."""
        self._parts.append(rows)
        self.size += rows.nbytes
        self.next_offset = next_offset
        if self.since is None:
            self.since = now

    def chunk(self) -> Chunk | None:
        """Returns the buffer's content as one chunk; None if it is empty."""
        if self.next_offset == self.start_offset:
            return None
        return Chunk(self.topic_id, self.partition, self.start_offset, self.next_offset, pa.concat_tables(self._parts))

    def restart(self, next_offset: int) -> None:
        """Clears the buffer; the next record is expected at ``next_offset``."""
        self.start_offset = self.next_offset = next_offset
        self.size = 0
        self.since = None
        self._parts.clear()
