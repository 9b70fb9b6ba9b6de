"""The replay of a range of dates."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import date

from producers.connection import connect
from producers.fault_injection import Faults
from producers.flights.streams import STREAMS, with_contract
from producers.flights.timeline import Timeline
from producers.playback import send_all
from producers.position import Positions
from producers.resume import read_sent, unsent
from sluice.contracts import Contract, invalid_contracts, topic_names
from sluice.settings import Settings


@dataclass(frozen=True)
class Replay:
    """A request to replay the local dates ``first`` to ``last``, both included."""

    first: date
    last: date
    speed: float = 0.0
    """Seconds of event time per second; 0 for as fast as possible."""
    streams: tuple[str, ...] = ()
    """None for all that have a valid contract."""
    copies: int = 1
    faults: Faults = field(default_factory=Faults)
    resume: bool = False
    """Whether to send only the events that Kafka does not have yet; without faults."""


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
    if not request.streams:
        for file in invalid_contracts(contracts):
            if file.stream in STREAMS:
                again = f"`make replay FROM={request.first} TO={request.last} STREAMS={file.stream}`"
                write_line(f"warning: not sending {file.stream}: {file.problem}. Hint: fix it, then {again} sends it.")
    timeline = Timeline(contracts, request.first, request.last, request.streams, request.copies)
    selected = {stream: contracts[stream] for stream in timeline.streams}
    topics = topic_names(selected)
    # After an interruption, the producer of the first attempt may still be sending.
    with positions.exclusive() if request.resume else nullcontext():
        delivery = connect(settings, topics, request.speed)
        sent = read_sent(settings, topics) if request.resume else set[bytes]()
        batches = unsent(timeline.batches(), sent) if sent else timeline.batches()
        size = max(0, len(timeline) - len(sent))
        outcome = send_all(batches, size, delivery, selected, request.faults, request.speed, write_line)
    if sent and outcome.complete:
        write_line(f"resumed: {delivery.total:,} of {len(timeline):,} events sent, Kafka had the others")
    if outcome.complete and set(timeline.streams) == set(with_contract(contracts)):
        positions.save_replayed_through(request.last)
    return outcome.exit_code
