"""The event that a producer sends: one record of one stream."""

from typing import NamedTuple


class Event(NamedTuple):
    """One record to send. Times are milliseconds since 1970, UTC."""

    stream: str
    key: bytes
    value: bytes
    timestamp: int
    """The time at which the event happened; also the record's timestamp."""
    due: int
    """The event time at which it is sent: ``timestamp``, or later."""
    fault: str = ""
    """The fault injected into the event; empty if there is none."""
