"""Sends events to their end or to a signal, with progress, and reports what Kafka has confirmed."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from producers.delivery import Delivery
from producers.events import Event
from producers.fault_injection import FAULTS, Faults, inject_faults
from producers.pacing import play
from producers.progress import open_progress
from producers.stop import Stop
from sluice.contracts import Contract


class Outcome(NamedTuple):
    """How sending ended."""

    complete: bool
    """Whether Kafka has confirmed every event."""
    exit_code: int
    """0, or the one for the signal that ended it."""


def send_all(
    batches: Iterable[list[Event]],
    size: int,
    delivery: Delivery,
    contracts: Mapping[str, Contract],
    faults: Faults,
    speed: float,
    write_line: Callable[[str], None],
) -> Outcome:
    """Sends every event when it is due, with faults injected, and closes the delivery.

    Args:
        batches: events ordered by ``due``.
        size: their number.
        delivery: sends them.
        contracts: those of the events' streams.
        faults: the faults to inject.
        speed: seconds of event time per second; 0 for as fast as possible.
        write_line: receives the lines of the report.

    Raises:
        TransientError: events were not delivered.
    """
    started = time.monotonic()
    try:
        with Stop() as stop, open_progress(round(size * (1 + faults.added))) as progress:
            events = inject_faults(batches, faults, contracts)
            complete = play(events, delivery, stop, speed, lambda event: progress.show(delivery.total, event.due))
            delivery.flush(stop, lambda: progress.show(delivery.total))
    finally:
        delivery.close()
    for line in report(delivery, sorted(contracts), time.monotonic() - started):
        write_line(line)
    complete = complete and not delivery.unconfirmed
    if stop.signal:
        write_line(f"stopped by {stop.signal.name}: {_summary(delivery)}")
    elif not complete:
        raise delivery.delivery_error()
    return Outcome(complete, stop.exit_code)


def report(delivery: Delivery, streams: Sequence[str], seconds: float) -> list[str]:
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


def _summary(delivery: Delivery) -> str:
    unconfirmed = f"{delivery.unconfirmed:,} sent but not confirmed" if delivery.unconfirmed else "none unconfirmed"
    return f"{delivery.total:,} events confirmed, {unconfirmed}"
