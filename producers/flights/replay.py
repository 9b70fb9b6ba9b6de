"""The replay of a range of dates."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date

from producers.delivery import connect
from producers.fault_injection import Faults
from producers.flights.streams import STREAMS
from producers.flights.timeline import Timeline
from producers.playback import send_all
from producers.position import Positions
from sluice.contracts import Contract, topic_names
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
    selected = {stream: contracts[stream] for stream in timeline.streams}
    delivery = connect(settings, topic_names(selected))
    outcome = send_all(timeline.batches(), len(timeline), delivery, selected, request.faults, request.speed, write_line)
    if outcome.complete and set(timeline.streams) == set(STREAMS):
        positions.save_replayed_through(request.last)
    return outcome.exit_code
