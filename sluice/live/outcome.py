"""What an event says of its flight, and which of several counts.

Of all that was said of a flight the least by ``rank`` counts. Which one is the least does not depend on the order in
which they come, nor on how often: so a record that is read again, by anyone, after any kill, changes nothing.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from sluice.check import read_event
from sluice.contracts import Contract

DEPARTED = "flights.departed"
CANCELLED = "flights.cancelled"
STREAMS = (DEPARTED, CANCELLED)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Record(NamedTuple):
    """A Kafka record as far as it matters here."""

    stream: str
    topic_id: str
    partition: int
    offset: int
    timestamp: int | None
    """Milliseconds since 1970; None where the record has none."""
    value: bytes | None


class Outcome(NamedTuple):
    """A flight's departure or cancellation, as one event says it."""

    flight_id: str
    origin: str
    hour: datetime
    """UTC hour of the event's time, as its beginning."""
    departed: bool
    delay_minutes: int | None
    """Of a departure; None for a cancellation."""
    topic_id: str
    partition: int
    offset: int

    @property
    def rank(self) -> tuple[bool, int, int, str]:
        """A departure outweighs a cancellation; of several events of a kind the first counts. The marts do the same."""
        return not self.departed, self.partition, self.offset, self.topic_id


def outcome(contract: Contract, record: Record) -> Outcome | None:
    """What a record says, or None where it does not fit its contract: such a record goes to the batch's quarantine."""
    event, _ = read_event(contract, record.value, _moment(record.timestamp))
    if event is None:
        return None
    time = datetime.fromisoformat(event[contract.event_time]).astimezone(UTC)
    departed = record.stream == DEPARTED
    return Outcome(
        event["flight_id"],
        event["origin"],
        time.replace(minute=0, second=0, microsecond=0),
        departed,
        event["departure_delay_minutes"] if departed else None,
        record.topic_id,
        record.partition,
        record.offset,
    )


def least(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """The outcome that counts of each flight, in the order of flights."""
    found: dict[str, Outcome] = {}
    for each in outcomes:
        known = found.get(each.flight_id)
        if known is None or each.rank < known.rank:
            found[each.flight_id] = each
    return [found[flight] for flight in sorted(found)]


def _moment(milliseconds: int | None) -> datetime | None:
    if milliseconds is None:
        return None
    try:
        return _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        # In no calendar: no event can be of that time.
        return None
