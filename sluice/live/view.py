"""The interface of a live view; ``follower`` reads the records and keeps track of the offsets."""

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
        """Writes the changes that records make, within the cursor's transaction.

        The result must not depend on the order of records or on how often a record is applied: records are read again
        after a crash, and while two processes overlap.
        """
