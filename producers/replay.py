"""The loop that plays events at a pace into a delivery, and the replay of a range of dates that it serves."""

import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date
from operator import attrgetter

from producers.delivery import Delivery, connect
from producers.events import Event
from producers.fault_injection import KINDS, Faults, inject_faults
from producers.flights.streams import STREAMS
from producers.flights.timeline import Timeline
from producers.position import Positions
from producers.progress import open_progress
from producers.stop import Stop
from sluice.contracts import Contract

_SLICE = 250
"""Events sent between two looks at confirmations and signals: some 10 ms."""
_TICK = 0.5

_due = attrgetter("due")


class Pace:
    """Maps event time to real time: ``speed`` seconds of events per second, from the first event asked for."""

    def __init__(self, speed: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._speed = speed
        self._clock = clock
        self._origin: tuple[float, int] | None = None

    def delay(self, due: int) -> float:
        """Seconds until an event of time ``due`` (milliseconds) is to be sent; 0 if it is time, or at speed 0."""
        if not self._speed:
            return 0.0
        if self._origin is None:
            self._origin = (self._clock(), due)
        start, first = self._origin
        return max(0.0, start + (due - first) / 1_000 / self._speed - self._clock())

    def reached(self, batch: list[Event], low: int) -> int:
        """The end of the part of ``batch`` from ``low`` on that is to be sent now."""
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
        delivery: where they go.
        stop: ends the loop at once.
        speed: seconds of event time per second; 0 for as fast as it can.
        tick: called with the next event to come, at least twice a second and after every few hundred events.

    Returns:
        Whether all were sent: not if it was stopped, or if an event was refused for good.
    """
    pace = Pace(speed)
    for batch in batches:
        low = 0
        while low < len(batch):
            high = min(pace.reached(batch, low), low + _SLICE)
            if not delivery.full:
                for event in batch[low:high]:
                    delivery.send(event)
                waits = high == low
                low = high
            else:
                waits = True
            delivery.collect()
            tick(batch[min(low, len(batch) - 1)])
            if stop or delivery.refused:
                return False
            if waits:
                stop.wait(0.01 if delivery.full else min(_TICK, pace.delay(batch[low].due)))
    return True


@dataclass(frozen=True)
class Replay:
    """What a person asks to be replayed."""

    first: date
    last: date
    speed: float = 0.0
    streams: tuple[str, ...] = STREAMS
    copies: int = 1
    disturbances: Faults = field(default_factory=Faults)


def replay(
    wanted: Replay, address: str, contracts: dict[str, Contract], positions: Positions, say: Callable[[str], None]
) -> int:
    """Replays a range of dates into Kafka, and says what was confirmed.

    Args:
        wanted: what to send, and how fast.
        address: Kafka's ``host:port``.
        contracts: the contracts by stream.
        positions: is told the range's end when all streams are confirmed to it.
        say: gets the lines of the report.

    Returns:
        The exit code: 0, or the one that tells the signal that stopped it.

    Raises:
        SluiceError: wrong dates or streams, no Kafka, no topic, or events that could not be delivered.
    """
    timeline = Timeline(contracts, wanted.first, wanted.last, wanted.streams, wanted.copies)
    delivery = connect(address, timeline.streams)
    began = time.monotonic()
    try:
        with Stop() as stop, open_progress(_records(timeline, wanted.disturbances)) as progress:
            events = inject_faults(timeline.batches(), wanted.disturbances, contracts)
            complete = play(
                events, delivery, stop, wanted.speed, lambda event: progress.show(delivery.total, event.due)
            )
            delivery.finish(stop, lambda: progress.show(delivery.total))
    finally:
        delivery.close()
    for line in report(delivery, timeline.streams, time.monotonic() - began):
        say(line)
    complete = complete and not delivery.unconfirmed
    if complete and set(timeline.streams) == set(STREAMS):
        positions.replayed(wanted.last)
    if stop.signal:
        say(f"stopped by {stop.signal.name}: {_standing(delivery)}")
        return stop.code
    if not complete:
        raise delivery.failure()
    return 0


def report(delivery: Delivery, streams: tuple[str, ...], seconds: float) -> list[str]:
    """What was confirmed, as lines: per stream, the disturbances by kind, the total with its rate."""
    width = max(len(stream) for stream in streams)
    by_stream, by_kind = Counter[str](), Counter[str]()
    for (stream, kind), records in delivery.confirmed.items():
        by_stream[stream] += records
        by_kind[kind] += records
    lines = [f"{stream:<{width}}  {by_stream[stream]:>11,} confirmed" for stream in streams]
    if any(by_kind[kind] for kind in KINDS):
        disturbed = ", ".join(f"{by_kind[kind]:,} {kind}" for kind in KINDS)
        lines.append(f"{'of them':<{width}}  {disturbed}")
    rate = delivery.total / seconds if seconds else 0.0
    lines.append(f"{'total':<{width}}  {delivery.total:>11,} confirmed in {seconds:,.1f} s, {rate:,.0f}/s")
    return lines


def _records(timeline: Timeline, disturbances: Faults) -> int:
    """How many records there will be, the drawn ones as expected on average."""
    return round(len(timeline) * (1 + disturbances.added))


def _standing(delivery: Delivery) -> str:
    unknown = delivery.unconfirmed
    return f"{delivery.total:,} events are confirmed, " + (
        f"of {unknown:,} more that were sent it is not known" if unknown else "none more were sent"
    )
