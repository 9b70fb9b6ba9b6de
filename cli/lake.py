"""The commands that look into the lake, prove it, and record what is lost: lake status, verify, gap.

Arrow, Delta and the servers' clients are imported where they are used: every other command starts without them.
"""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from cli.os_user import os_user
from sluice.contracts import get_contract, load_contracts
from sluice.settings import Settings, load_settings

if TYPE_CHECKING:
    from sluice.sink.status import StreamStatus

Streams = Annotated[list[str] | None, typer.Option("--stream", help="Only this stream; repeat it for more.")]


def register(app: typer.Typer) -> None:
    """Adds the group of commands."""
    lake = typer.Typer(help="Shows and proves what is in the lake.", no_args_is_help=True)
    for command in (status, verify, gap):
        lake.command()(command)
    app.add_typer(lake, name="lake")


def status(streams: Streams = None) -> None:
    """Shows how far the lake is behind Kafka, and each table's version, files and orphans."""
    from sluice.sink.status import status as look

    settings = load_settings()
    _show(look(settings, _choose(settings, streams)))


def verify(streams: Streams = None) -> None:
    """Proves from the commits' own records that the lake has every offset once, with the values that came."""
    from sluice.lake.layout import storage_options, table_uri
    from sluice.lake.verify import verify as prove

    settings = load_settings()
    faults = 0
    for stream in _choose(settings, streams):
        found = prove(table_uri(settings, stream), storage_options(settings, "reader"))
        print(found.text(stream), flush=True)
        faults += len(found.faults)
    print(f"{faults} faults" if faults else "no fault")
    if faults:
        raise typer.Exit(1)


def gap(
    stream: Annotated[str, typer.Argument(help="The stream, as flights.departed.")],
    partition: Annotated[int, typer.Argument(help="The topic's partition.")],
    end: Annotated[int, typer.Option("--to", help="The first offset that Kafka still has; all below it are lost.")],
    reason: Annotated[str, typer.Option(help="Why they are lost, for whoever asks later.")],
) -> None:
    """Records offsets that Kafka deleted before they were in the lake, so that the sink goes on after them."""
    from sluice.sink.gap import record_gap

    settings = load_settings()
    get_contract(load_contracts(settings.contracts), stream)
    print(record_gap(settings, stream, partition, end, reason, os_user()).text())


def _choose(settings: Settings, streams: list[str] | None) -> list[str]:
    contracts = load_contracts(settings.contracts)
    return [get_contract(contracts, stream).stream for stream in streams or contracts]


def _show(found: "list[StreamStatus]") -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 160)
    places = Table(box=None, pad_edge=False)
    places.add_column("stream", no_wrap=True)
    for name in ("partition", "head", "no record", "Kafka from", "Kafka to", "lag"):
        places.add_column(name, justify="right", no_wrap=True)
    tables = Table(box=None, pad_edge=False)
    tables.add_column("stream", no_wrap=True)
    for name in ("version", "files", "MiB", "rows", "replaced files", "orphans", "orphans' MiB"):
        tables.add_column(name, justify="right", no_wrap=True)
    for each in found:
        for part in each.partitions:
            figures = (part.partition, part.head, part.empty, part.start, part.end, part.lag)
            places.add_row(each.stream, *(f"{figure:,}" for figure in figures))
        if each.version is None:
            tables.add_row(each.stream, "no table yet")
            continue
        tables.add_row(
            each.stream,
            f"{each.version:,}",
            f"{each.files:,}",
            f"{each.size / 2**20:,.1f}",
            f"{each.rows:,}",
            f"{each.replaced:,}",
            f"{each.orphans:,}",
            f"{each.orphan_size / 2**20:,.1f}",
        )
    console.print(places)
    console.print()
    console.print(tables)
