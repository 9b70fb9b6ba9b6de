"""The commands that inspect and verify the lake and record lost offsets: lake status, verify, find, gap.

Arrow, Delta and the servers' clients are imported where they are used, so that other commands start without them.
"""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from cli.contracts import valid_contracts
from cli.os_user import os_user
from cli.usage import whole_number
from sluice.contracts import Contract, get_contract, load_contracts, topic_names
from sluice.errors import TerminalError
from sluice.settings import Settings, load_settings

if TYPE_CHECKING:
    from sluice.sink.status import StreamStatus

MAX_PARTITION = 2**31 - 1
MAX_OFFSET = 2**63 - 1
"""Kafka's largest numbers."""

Partition = Annotated[
    int, typer.Argument(parser=whole_number("partition", 0, MAX_PARTITION), help="The topic's partition.")
]
Streams = Annotated[list[str] | None, typer.Option("--stream", help="Only this stream; repeat for more.")]


def register(app: typer.Typer) -> None:
    """Adds the group of commands to the CLI."""
    lake = typer.Typer(help="Inspect and verify the lake.")
    for command in (status, verify, find, gap):
        lake.command()(command)
    app.add_typer(lake, name="lake")


def status(streams: Streams = None) -> None:
    """Show each stream's lag behind Kafka, and its table's version, files and orphans."""
    from sluice.sink.status import status as stream_status

    settings = load_settings()
    _print(stream_status(settings, topic_names(_select(settings, streams))))


def verify(streams: Streams = None) -> None:
    """Verify against the commit metadata that the lake has every offset once, with its original value."""
    from sluice.lake.layout import storage_options, table_uri
    from sluice.lake.verify import verify as verify_table

    settings = load_settings()
    faults = 0
    for stream in _select(settings, streams):
        verification = verify_table(table_uri(settings, stream), storage_options(settings, "reader"))
        print(verification.text(stream), flush=True)
        faults += len(verification.faults)
    print(f"{faults} faults" if faults else "no faults")
    if faults:
        raise typer.Exit(1)


def find(
    stream: Annotated[str, typer.Argument(help="The stream, for example flights.departed.")],
    partition: Partition,
    offset: Annotated[int, typer.Argument(parser=whole_number("offset", 0, MAX_OFFSET), help="The record's offset.")],
) -> None:
    """Print the lake's file that holds a record."""
    from sluice.lake.reader import LakeReader

    settings = load_settings()
    get_contract(load_contracts(settings.contracts), stream)
    files = LakeReader(settings, stream).find(partition, offset)
    if not files:
        raise TerminalError(
            f"the lake has no record of {stream} at offset {offset} of partition {partition}",
            '`make lake A="status"` shows the offsets that it has',
        )
    for file in files:
        print(file)


def gap(
    stream: Annotated[str, typer.Argument(help="The stream, for example flights.departed.")],
    partition: Partition,
    end: Annotated[
        int, typer.Option("--to", parser=whole_number("--to", 0, MAX_OFFSET), help="First offset that is not lost.")
    ],
    reason: Annotated[str, typer.Option(help="Reason for the loss, recorded in the lake.")],
    start: Annotated[
        int | None,
        typer.Option(
            "--from",
            parser=whole_number("--from", 0, MAX_OFFSET),
            help="First lost offset, of a hole that `make reconcile` reports.",
        ),
    ] = None,
) -> None:
    """Record lost offsets: a hole, or those that Kafka deleted before they reached the lake; then the sink resumes."""
    from sluice.sink.gap import record_gap

    settings = load_settings()
    contract = get_contract(load_contracts(settings.contracts), stream)
    print(record_gap(settings, contract, partition, end, reason, os_user(), start).text())


def _select(settings: Settings, streams: list[str] | None) -> dict[str, Contract]:
    if not streams:
        return valid_contracts(settings)
    contracts = load_contracts(settings.contracts)
    return {stream: get_contract(contracts, stream) for stream in streams}


def _print(statuses: "list[StreamStatus]") -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 160)
    partitions = Table(box=None, pad_edge=False)
    partitions.add_column("stream", no_wrap=True)
    for name in ("partition", "next offset", "no record", "Kafka from", "Kafka to", "lag"):
        partitions.add_column(name, justify="right", no_wrap=True)
    tables = Table(box=None, pad_edge=False)
    tables.add_column("stream", no_wrap=True)
    for name in ("version", "files", "MiB", "rows", "replaced files", "orphans", "orphan MiB"):
        tables.add_column(name, justify="right", no_wrap=True)
    for stream in statuses:
        for partition in stream.partitions:
            offsets = (partition.next_offset, partition.empty, partition.start, partition.end, partition.lag)
            partitions.add_row(stream.stream, str(partition.partition), *(f"{offset:,}" for offset in offsets))
        if stream.version is None:
            tables.add_row(stream.stream, "no table yet")
            continue
        tables.add_row(
            stream.stream,
            f"{stream.version:,}",
            f"{stream.files:,}",
            f"{stream.size / 2**20:,.1f}",
            f"{stream.rows:,}",
            f"{stream.replaced:,}",
            f"{stream.orphans:,}",
            f"{stream.orphan_size / 2**20:,.1f}",
        )
    console.print(partitions)
    console.print()
    console.print(tables)
