"""The producer that goes on: after what was replayed, day by day, so that the platform is seen living."""

import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

from producers.delivery import Delivery, connect
from producers.events import Event
from producers.flights.source import FIRST_DATE, LAST_DATE
from producers.flights.timeline import Timeline
from producers.position import Positions
from producers.replay import play
from producers.stop import Stop
from sluice.contracts import Contract
from sluice.errors import TransientError

SPEED = 600.0
"""Seconds of event time per second: a day takes 144 s."""

_SAVE_SECONDS = 1.0
"""Between two notes of the position: what was sent since is sent again after a kill."""
_RETRY_SECONDS = 2.0
_IDLE_SECONDS = 3_600.0


def live(
    address: str,
    contracts: dict[str, Contract],
    positions: Positions,
    say: Callable[[str], None],
    speed: float = SPEED,
) -> int:
    """Sends what follows the latest replay until the year ends, then idles; goes on where it was stopped or killed.

    Args:
        address: Kafka's ``host:port``; the producer waits for it.
        contracts: the contracts by stream.
        positions: where it notes how far it has come.
        say: gets a line per day, and what else happens.
        speed: seconds of event time per second.

    Returns:
        The exit code that tells the signal that stopped it.

    Raises:
        SluiceError: a topic is missing, or events could not be delivered.
    """
    with Stop() as stop:
        first, since = _place(positions)
        if first <= LAST_DATE:
            _go_on(address, contracts, positions, say, speed, stop, first, since)
        if not stop:
            say(f"the data ends with {LAST_DATE}: nothing more to send, waiting to be stopped")
        while not stop:
            stop.wait(_IDLE_SECONDS)
        return stop.code


def _place(positions: Positions) -> tuple[date, int]:
    if positions.live:
        return positions.live
    through = positions.replayed_through
    return (through + timedelta(days=1) if through else FIRST_DATE), 0


def _go_on(
    address: str,
    contracts: dict[str, Contract],
    positions: Positions,
    say: Callable[[str], None],
    speed: float,
    stop: Stop,
    first: date,
    since: int,
) -> None:
    timeline = Timeline(contracts, first, LAST_DATE)
    delivery = _connect(address, timeline.streams, say, stop)
    if delivery is None:
        return
    notes = _Notes(delivery, positions, say, first, since)
    say(f"going on from {_text(since) if since else first} to {LAST_DATE} at {speed:g} times real speed")
    try:
        complete = play(timeline.batches(since), delivery, stop, speed, notes.take)
        delivery.finish(stop, lambda: None)
    finally:
        delivery.close()
    notes.save(complete)
    if stop.signal:
        say(f"stopped by {stop.signal.name} at {_text(notes.since)}: {delivery.total:,} events confirmed")
    elif delivery.unconfirmed:
        raise delivery.failure()


def _connect(address: str, streams: tuple[str, ...], say: Callable[[str], None], stop: Stop) -> Delivery | None:
    """Waits for Kafka as long as it takes; nothing if stopped first."""
    said = False
    while not stop:
        try:
            return connect(address, streams)
        except TransientError as error:
            if not said:
                say(f"{error}; waiting for it")
            said = True
            stop.wait(_RETRY_SECONDS)
    return None


class _Notes:
    """Notes the position and says each day as it ends."""

    def __init__(
        self, delivery: Delivery, positions: Positions, say: Callable[[str], None], first: date, since: int
    ) -> None:
        self._delivery = delivery
        self._positions = positions
        self._say = say
        self._first = first
        self.since = since
        self._next = since
        self._day = 0
        self._saved = time.monotonic()
        self._confirmed = 0

    def take(self, coming: Event) -> None:
        """Notes that all up to ``coming`` was sent."""
        self._next = coming.due
        now = time.monotonic()
        if now - self._saved >= _SAVE_SECONDS:
            self._saved = now
            self._write(self._reached())
        day = coming.due // 86_400_000
        if self._day and day > self._day:
            confirmed = self._delivery.total
            self._say(f"{_text(self._day * 86_400_000)[:10]}: {confirmed - self._confirmed:,} events confirmed")
            self._confirmed = confirmed
        self._day = day

    def save(self, complete: bool) -> None:
        """Notes the last position; if ``complete``, everything was sent."""
        if complete and not self._delivery.unconfirmed:
            self._next += 1
        self._write(self._reached())

    def _reached(self) -> int:
        """The event time before which everything is confirmed."""
        if self._delivery.refused:
            return self.since
        oldest = self._delivery.oldest
        return self._next if oldest is None else min(oldest, self._next)

    def _write(self, since: int) -> None:
        if since > self.since:
            self.since = since
            self._positions.save_live_position(self._first, since)


def _text(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
