"""Events that the learner has not seen: of random dates, and of a random part of the flights."""

from collections.abc import Sequence
from datetime import date, timedelta
from hashlib import blake2b
from secrets import randbelow, token_bytes

from producers.events import Event
from producers.flights.timeline import Timeline
from sluice.contracts import Contract

_FIRST = date(2013, 2, 1)
_LAST = date(2013, 12, 20)
_SHARE = 2 / 3
"""Of the flights, so that no figure of the platform is right by itself."""


def random_date(first: date = _FIRST, last: date = _LAST) -> date:
    """Returns a random date from ``first`` to ``last``, both included."""
    return first + timedelta(days=randbelow((last - first).days + 1))


def random_events(contracts: dict[str, Contract], first: date, last: date, streams: Sequence[str] = ()) -> list[Event]:
    """Returns the events of a random part of the flights, and of the weather, in the order of their event times.

    Args:
        contracts: the contracts by stream.
        first: the first local date of the flights.
        last: the last local date, included.
        streams: the streams to include; none for all that have a valid contract.
    """
    salt = token_bytes(8)
    timeline = Timeline(contracts, first, last, streams)
    return [event for batch in timeline.batches() for event in batch if _is_kept(event, salt)]


def _is_kept(event: Event, salt: bytes) -> bool:
    """Returns whether an event belongs to the part; all events of a flight have the same key."""
    if not event.stream.startswith("flights."):
        return True
    digest = blake2b(event.key or b"", digest_size=4, salt=salt).digest()
    return int.from_bytes(digest) < _SHARE * 2**32
