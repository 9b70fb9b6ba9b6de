"""What has been read from Kafka and is not in the lake yet."""

from dataclasses import dataclass, field

import pyarrow as pa

from sluice.lake.chunk import Chunk


@dataclass
class PartitionBuffer:
    """The records of one partition since the lake's head, which is ``first``."""

    topic_id: str
    partition: int
    start_offset: int
    next_offset: int = field(init=False)
    size: int = 0
    """Bytes in memory."""
    since: float | None = None
    """When the oldest record came, by the sink's clock, in seconds."""
    _parts: list[pa.Table] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.next_offset = self.start_offset

    def add(self, rows: pa.Table, following: int, now: float) -> None:
        """Adds records in the order of offsets; ``following`` is the offset to go on at, past any that hold none."""
        self._parts.append(rows)
        self.size += rows.nbytes
        self.next_offset = following
        if self.since is None:
            self.since = now

    def chunk(self) -> Chunk | None:
        """All of it as one chunk; None when it is empty."""
        if self.next_offset == self.start_offset:
            return None
        return Chunk(self.topic_id, self.partition, self.start_offset, self.next_offset, pa.concat_tables(self._parts))

    def restart(self, head: int) -> None:
        """Empties it; what follows begins at ``head``."""
        self.start_offset = self.next_offset = head
        self.size = 0
        self.since = None
        self._parts.clear()
