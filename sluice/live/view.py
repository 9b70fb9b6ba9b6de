"""What a live view has to provide; ``follower`` reads the records and keeps track of the offsets."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import psycopg

from sluice.contracts import Contract

Cursor = psycopg.Cursor[tuple[object, ...]]


class Record(NamedTuple):
    """A Kafka record, as far as a live view needs it."""

    stream: str
    topic_id: str
    partition: int
    offset: int
    timestamp: int | None
    """Milliseconds since 1970; None where the record has none."""
    value: bytes | None


class View(Protocol):
    """A live view of some streams."""

    streams: tuple[str, ...]

    def apply(self, cursor: Cursor, contracts: Mapping[str, Contract], records: Sequence[Record]) -> None:
        """Writes what records change, within the cursor's transaction.

        The result must not depend on the order of records, nor on how often each one is applied: after a crash, or
        beside another process, records are read again.
        """
