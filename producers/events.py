"""What is sent: one record of one stream."""

from typing import NamedTuple


class Event(NamedTuple):
    """One record to send. Times are milliseconds since 1970, UTC."""

    stream: str
    key: bytes
    value: bytes
    timestamp: int
    """The event's own time, and the record's timestamp."""
    due: int
    """The event time at which it is sent: its own, or later."""
    disturbance: str = ""
    """The kind of disturbance that made or moved it; empty for an event as it should be."""
