"""The replay of a range of dates."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date

from producers.delivery import Delivery, connect
from producers.fault_injection import FAULTS, Faults, inject_faults
from producers.flights.streams import STREAMS
from producers.flights.timeline import Timeline
from producers.pacing import play
from producers.position import Positions
from producers.progress import open_progress
from producers.stop import Stop
from sluice.contracts import Contract
from sluice.settings import Settings


@dataclass(frozen=True)
class Replay:
    """A request to replay the local dates ``first`` to ``last``, both included."""

    first: date
    last: date
    speed: float = 0.0
    """Seconds of event time per second; 0 for as fast as possible."""
    streams: tuple[str, ...] = STREAMS
    copies: int = 1
    faults: Faults = field(default_factory=Faults)


def replay(
    request: Replay,
    settings: Settings,
    contracts: dict[str, Contract],
    positions: Positions,
    write_line: Callable[[str], None],
) -> int:
    """Replays a range of dates into Kafka and reports what was confirmed.

    Args:
        request: what to send, and how fast.
        settings: with Kafka's address.
        contracts: the contracts by stream.
        positions: records the last date of the range once all streams are confirmed through it.
        write_line: receives the lines of the report.

    Returns:
        The exit code: 0, or the one for the signal that stopped the replay.

    Raises:
        SluiceError: dates or streams are invalid, Kafka is down, a topic is missing, or events were not delivered.
    """
    timeline = Timeline(contracts, request.first, request.last, request.streams, request.copies)
    delivery = connect(settings, {stream: contracts[stream].topic_name for stream in timeline.streams})
    started = time.monotonic()
    try:
        with Stop() as stop, open_progress(_expected_records(timeline, request.faults)) as progress:
            events = inject_faults(timeline.batches(), request.faults, contracts)
            complete = play(
                events, delivery, stop, request.speed, lambda event: progress.show(delivery.total, event.due)
            )
            delivery.flush(stop, lambda: progress.show(delivery.total))
    finally:
        delivery.close()
    for line in report(delivery, timeline.streams, time.monotonic() - started):
        write_line(line)
    complete = complete and not delivery.unconfirmed
    if complete and set(timeline.streams) == set(STREAMS):
        positions.save_replayed_through(request.last)
    if stop.signal:
        write_line(f"stopped by {stop.signal.name}: {_summary(delivery)}")
        return stop.exit_code
    if not complete:
        raise delivery.delivery_error()
    return 0


def report(delivery: Delivery, streams: tuple[str, ...], seconds: float) -> list[str]:
    """Returns the report as lines: confirmed records per stream, injected faults, and the total with its rate."""
    width = max(len(stream) for stream in streams)
    by_stream, by_fault = Counter[str](), Counter[str]()
    for (stream, fault), records in delivery.confirmed.items():
        by_stream[stream] += records
        by_fault[fault] += records
    lines = [f"{stream:<{width}}  {by_stream[stream]:>11,} confirmed" for stream in streams]
    if any(by_fault[fault] for fault in FAULTS):
        injected = ", ".join(f"{by_fault[fault]:,} {fault}" for fault in FAULTS)
        lines.append(f"{'faults injected':<{width}}  {injected}")
    rate = delivery.total / seconds if seconds else 0.0
    lines.append(f"{'total':<{width}}  {delivery.total:>11,} confirmed in {seconds:,.1f} s, {rate:,.0f}/s")
    return lines


def _expected_records(timeline: Timeline, faults: Faults) -> int:
    """Returns the expected number of records, those added by faults included."""
    return round(len(timeline) * (1 + faults.added))


def _summary(delivery: Delivery) -> str:
    unconfirmed = f"{delivery.unconfirmed:,} sent but not confirmed" if delivery.unconfirmed else "none unconfirmed"
    return f"{delivery.total:,} events confirmed, {unconfirmed}"
