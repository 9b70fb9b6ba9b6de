"""The event that a producer sends: one record of one stream."""

from typing import NamedTuple


class Event(NamedTuple):
    """One record to send. Times are milliseconds since 1970, UTC."""

    stream: str
    key: bytes | None
    value: bytes
    timestamp: int
    """The record's timestamp: the time at which the event happened."""
    due: int
    """The event time at which it is sent: ``timestamp``, or later."""
    fault: str = ""
    """The fault injected into the event; empty if there is none."""
