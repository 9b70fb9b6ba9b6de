"""The live producer: continues after the last replay, day by day, as a steady stream of events."""

import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

from producers.connection import connect_kafka_python
from producers.events import Event
from producers.flights.source import FIRST_DATE, LAST_DATE
from producers.flights.timeline import Timeline
from producers.kafka_python import KafkaPythonDelivery
from producers.pacing import play
from producers.position import Positions
from producers.stop import Stop
from sluice.contracts import Contract, topic_names
from sluice.errors import TransientError
from sluice.settings import Settings

SPEED = 600.0
"""Seconds of event time per second: a day takes 144 s."""

_SAVE_SECONDS = 1.0
"""Interval between saves of the position. After a kill, the events sent since the last save are resent."""
_RETRY_SECONDS = 2.0
_IDLE_SECONDS = 3_600.0


def live(
    settings: Settings,
    contracts: dict[str, Contract],
    positions: Positions,
    write_line: Callable[[str], None],
    speed: float = SPEED,
) -> int:
    """Sends the events after the latest replay until the year ends, then idles. Resumes after a stop or a kill.

    Args:
        settings: with Kafka's address; the producer waits until Kafka is up.
        contracts: the contracts by stream.
        positions: stores the position.
        write_line: receives a line per day, and one per other event.
        speed: seconds of event time per second.

    Returns:
        The exit code for the signal that stopped the producer.

    Raises:
        SluiceError: a topic is missing, or events were not delivered.
    """
    with Stop() as stop:
        first, since = _start_position(positions)
        if first <= LAST_DATE:
            _send_rest(settings, contracts, positions, write_line, speed, stop, first, since)
        if not stop:
            write_line(f"reached the end of the data ({LAST_DATE}): nothing more to send, idle until stopped")
        while not stop:
            stop.wait(_IDLE_SECONDS)
        return stop.exit_code


def _start_position(positions: Positions) -> tuple[date, int]:
    if positions.live_position:
        return positions.live_position
    last = positions.replayed_through
    return (last + timedelta(days=1) if last else FIRST_DATE), 0


def _send_rest(
    settings: Settings,
    contracts: dict[str, Contract],
    positions: Positions,
    write_line: Callable[[str], None],
    speed: float,
    stop: Stop,
    first: date,
    since: int,
) -> None:
    """Sends the events from ``since`` to the end of the year."""
    timeline = Timeline(contracts, first, LAST_DATE)
    topics = topic_names({stream: contracts[stream] for stream in timeline.streams})
    delivery = _wait_for_kafka(settings, topics, write_line, stop)
    if delivery is None:
        return
    tracker = _PositionTracker(delivery, positions, write_line, first, since)
    start = _text(since) if since else first
    write_line(f"resuming at {start}, sending through {LAST_DATE} at {speed:g} times real time")
    try:
        complete = play(timeline.batches(since), delivery, stop, speed, tracker.advance)
        delivery.flush(stop, lambda: None)
    finally:
        delivery.close()
    tracker.save(complete)
    if stop.signal:
        write_line(f"stopped by {stop.signal.name} at {_text(tracker.since)}: {delivery.total:,} events confirmed")
    elif delivery.unconfirmed:
        raise delivery.delivery_error()


def _wait_for_kafka(
    settings: Settings, topics: dict[str, str], write_line: Callable[[str], None], stop: Stop
) -> KafkaPythonDelivery | None:
    """Returns a connection once Kafka is up; None if stopped before."""
    reported = False
    while not stop:
        try:
            return connect_kafka_python(settings, topics)
        except TransientError as error:
            if not reported:
                write_line(f"waiting for Kafka: {error}")
            reported = True
            stop.wait(_RETRY_SECONDS)
    return None


class _PositionTracker:
    """Saves the position periodically and reports each day when it ends."""

    def __init__(
        self,
        delivery: KafkaPythonDelivery,
        positions: Positions,
        write_line: Callable[[str], None],
        first: date,
        since: int,
    ) -> None:
        self._delivery = delivery
        self._positions = positions
        self._write_line = write_line
        self._first = first
        self.since = since
        """The saved position: the event time before which every event is confirmed."""
        self._next = since
        self._day = 0
        self._saved = time.monotonic()
        self._confirmed = 0

    def advance(self, next_event: Event) -> None:
        """Registers that every event before ``next_event`` was sent."""
        self._next = next_event.due
        now = time.monotonic()
        if now - self._saved >= _SAVE_SECONDS:
            self._saved = now
            self._save(self._position())
        day = next_event.due // 86_400_000
        if self._day and day > self._day:
            confirmed = self._delivery.total
            self._write_line(f"{_text(self._day * 86_400_000)[:10]}: {confirmed - self._confirmed:,} events confirmed")
            self._confirmed = confirmed
        self._day = day

    def save(self, complete: bool) -> None:
        """Saves the final position.

        Args:
            complete: whether every event was sent.
        """
        if complete and not self._delivery.unconfirmed:
            self._next += 1
        self._save(self._position())

    def _position(self) -> int:
        """Returns the event time before which every event is confirmed."""
        if self._delivery.failures:
            return self.since
        oldest_pending = self._delivery.oldest_pending
        return self._next if oldest_pending is None else min(oldest_pending, self._next)

    def _save(self, since: int) -> None:
        if since > self.since:
            self.since = since
            self._positions.save_live_position(self._first, since)


def _text(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
