"""The loop that sends events at a pace relative to their event time."""

import time
from bisect import bisect_right
from collections.abc import Callable, Iterable
from operator import attrgetter

from producers.delivery import Delivery
from producers.events import Event
from producers.stop import Stop

_SLICE = 250
"""Events sent between two checks for confirmations and signals: about 10 ms."""
_TICK = 0.5

_due = attrgetter("due")


class Pace:
    """Maps event time to real time: ``speed`` seconds of event time per second, counted from the first event."""

    def __init__(self, speed: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._speed = speed
        self._clock = clock
        self._origin: tuple[float, int] | None = None

    def delay(self, due: int) -> float:
        """Returns the seconds until the event time ``due`` (milliseconds); 0 if it has passed, or at speed 0."""
        if not self._speed:
            return 0.0
        if self._origin is None:
            self._origin = (self._clock(), due)
        start, first = self._origin
        return max(0.0, start + (due - first) / 1_000 / self._speed - self._clock())

    def due_end(self, batch: list[Event], low: int) -> int:
        """Returns the index after the last event of ``batch``, from index ``low`` on, that is due now."""
        if not self._speed:
            return len(batch)
        if self.delay(batch[low].due):
            return low
        assert self._origin is not None
        start, first = self._origin
        now = first + (self._clock() - start) * 1_000 * self._speed
        return max(low + 1, bisect_right(batch, now, lo=low, key=_due))


def play(
    batches: Iterable[list[Event]], delivery: Delivery, stop: Stop, speed: float, tick: Callable[[Event], None]
) -> bool:
    """Sends every event when it is due.

    Args:
        batches: events ordered by ``due``.
        delivery: sends them.
        stop: ends the loop at once.
        speed: seconds of event time per second; 0 for as fast as possible.
        tick: called with the next event to send, at least twice a second and after every few hundred events.

    Returns:
        Whether all were sent: False after a signal to stop, or if an event could not be delivered.
    """
    pace = Pace(speed)
    for batch in batches:
        low = 0
        while low < len(batch):
            high = min(pace.due_end(batch, low), low + _SLICE)
            if not delivery.full:
                for event in batch[low:high]:
                    delivery.send(event)
                must_wait = high == low
                low = high
            else:
                must_wait = True
            delivery.poll()
            tick(batch[min(low, len(batch) - 1)])
            if stop or delivery.failures:
                return False
            if must_wait:
                stop.wait(0.01 if delivery.full else min(_TICK, pace.delay(batch[low].due)))
    return True
