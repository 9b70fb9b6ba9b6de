"""The state of a flight: derived from one event, and resolved between several events.

Of all events of a flight, the one with the lowest ``precedence`` counts. The result depends neither on the order in
which events arrive nor on how often each one is read, so reading a record again after any crash changes nothing.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from sluice.contracts import Contract
from sluice.contracts.validation import validate_event
from sluice.live.view import Record

DEPARTED = "flights.departed"
CANCELLED = "flights.cancelled"
STREAMS = (DEPARTED, CANCELLED)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class FlightState(NamedTuple):
    """A flight's departure or cancellation, as reported by one event."""

    flight_id: str
    origin: str
    hour: datetime
    """Start of the UTC hour that holds the event's time."""
    departed: bool
    delay_minutes: int | None
    """Of a departure; None for a cancellation."""
    topic_id: str
    partition: int
    offset: int

    @property
    def precedence(self) -> tuple[bool, int, int, str]:
        """Departures come before cancellations; among events of one kind the first counts. The marts do the same."""
        return not self.departed, self.partition, self.offset, self.topic_id


def flight_state(contract: Contract, record: Record) -> FlightState | None:
    """Returns the flight's state from a record; None for an invalid record, which the batch load puts in quarantine."""
    event, _ = validate_event(contract, record.value, _as_datetime(record.timestamp))
    if event is None:
        return None
    values = event.values
    time = _EPOCH + timedelta(microseconds=values[contract.event_time])
    departed = record.stream == DEPARTED
    return FlightState(
        values["flight_id"],
        values["origin"],
        time.replace(minute=0, second=0, microsecond=0),
        departed,
        values["departure_delay_minutes"] if departed else None,
        record.topic_id,
        record.partition,
        record.offset,
    )


def resolve(states: Iterable[FlightState]) -> list[FlightState]:
    """Returns the state that counts of each flight, sorted by flight id."""
    resolved: dict[str, FlightState] = {}
    for state in states:
        known = resolved.get(state.flight_id)
        if known is None or state.precedence < known.precedence:
            resolved[state.flight_id] = state
    return [resolved[flight_id] for flight_id in sorted(resolved)]


def _as_datetime(milliseconds: int | None) -> datetime | None:
    if milliseconds is None:
        return None
    try:
        return _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        # Outside the calendar, so no event can have this time.
        return None
