"""Sends the events of a file to their stream's topic."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from producers.connection import connect
from producers.fault_injection import Faults
from producers.files import open_records
from producers.files.timeline import FileTimeline
from producers.playback import send_all
from sluice.contracts import Column, Contract, topic_names
from sluice.errors import TerminalError
from sluice.settings import Settings

_KINDS = {
    **dict.fromkeys(("int32", "int64", "float64", "decimal"), "number"),
    **dict.fromkeys(("json", "array"), "json"),
    "boolean": "boolean",
    "timestamp": "timestamp",
    **dict.fromkeys(("date", "time", "uuid"), "value"),
}
"""How a field of a CSV file is written as JSON, by the type of its column; as a string otherwise."""


@dataclass(frozen=True)
class Send:
    """A request to send a file."""

    path: Path
    speed: float = 0.0
    """Seconds of event time per second; 0 for as fast as possible."""
    faults: Faults = field(default_factory=Faults)


def send(request: Send, settings: Settings, contract: Contract, write_line: Callable[[str], None]) -> int:
    """Sends a file's events in the order of their event time and reports what was confirmed.

    Args:
        request: what to send, and how fast.
        settings: with Kafka's address.
        contract: that of the file's stream.
        write_line: receives the lines of the report.

    Returns:
        The exit code: 0, or the one for the signal that stopped it.

    Raises:
        SluiceError: the stream's format is not plain JSON, the file cannot be read, Kafka is down, the topic is
            missing, or events were not delivered.
    """
    if request.speed and contract.happens_at_record:
        raise TerminalError(
            f"speed: events of {contract.stream} happen when they are sent", "leave out SPEED, or give it an event_time"
        )
    if contract.format != "json":
        raise TerminalError(
            f"events of {contract.stream} have the format {contract.format}, and the events of a file are plain JSON",
            "send them with a producer that writes this format; docs/reference/formats.md describes it",
        )
    records = open_records(request.path, csv_kinds(contract))
    write_line(f"{len(records):,} records in {request.path}")
    contracts = {contract.stream: contract}
    # Before the records are read, which takes a while: without Kafka, it would be for nothing.
    delivery = connect(settings, topic_names(contracts), request.speed)
    try:
        timeline = FileTimeline(contract, records)
    except BaseException:
        delivery.close()
        raise
    outcome = send_all(
        timeline.batches(), len(timeline), delivery, contracts, request.faults, request.speed, write_line
    )
    if timeline.unreadable:
        write_line(
            f"{timeline.unreadable:,} of {len(timeline):,} records have no readable {contract.event_time}: "
            "sent with the current time, they go to quarantine"
        )
    return outcome.exit_code


def csv_kinds(contract: Contract) -> dict[str, str]:
    """Returns how to write the fields of a CSV file so that the contract's columns can be read from them."""
    return {str(path[0]): _kind(column) for column in contract.columns for path in column.paths if len(path) == 1}


def _kind(column: Column) -> str:
    return "number" if column.is_epoch else _KINDS.get(column.data_type.kind, "string")
