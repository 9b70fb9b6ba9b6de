"""The commands that inspect the data: reconcile, peek.

Arrow, Delta and the servers' clients are imported where they are used, so that other commands start without them.
"""

import logging
import sys
from datetime import date
from typing import Annotated

import typer

from cli.contracts import valid_contracts
from cli.json_rows import json_row, python_value
from cli.usage import MAX_ROWS, one_of, require, whole_number
from sluice.contracts import Contracts, get_contract, load_contracts
from sluice.errors import TerminalError
from sluice.settings import Settings, load_settings

_PEEK_COLUMNS = ["topic_id", "partition", "offset", "timestamp", "event_date", "key", "value"]


def register(app: typer.Typer) -> None:
    """Adds the commands to the CLI."""
    app.command()(reconcile)
    app.command()(peek)


def reconcile(
    wait: Annotated[bool, typer.Option("--wait", help="Wait until nothing is in flight.")] = False,
    patience: Annotated[
        int, typer.Option(parser=whole_number("--patience", 1, 86_400), help="Seconds to wait at most.")
    ] = 300,
    full: Annotated[bool, typer.Option("--full", help="Compare everything, whatever was verified before.")] = False,
    engine: Annotated[
        str,
        typer.Option(parser=one_of("ENGINE", "spark"), help="spark: compare Spark's warehouse with the lake instead."),
    ] = "",
) -> None:
    """Verify that Kafka, lake and warehouse agree, per stream and date."""
    from sluice.reconcile import reconcile as compare

    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("sluice").setLevel(logging.INFO)
    settings = load_settings()
    contracts = valid_contracts(settings)
    if engine == "spark":
        _reconcile_lakehouse(settings, contracts)
        return
    reconciliation = compare(settings, contracts, full=full, patience=patience if wait else 0)
    print(reconciliation.text())
    if not reconciliation.agrees:
        raise typer.Exit(1)


def _reconcile_lakehouse(settings: Settings, contracts: Contracts) -> None:
    from sluice.lakehouse.reconciliation import reconcile as compare

    reconciliation = compare(settings, contracts, logging.getLogger("sluice.lakehouse").debug)
    for text in reconciliation.lines():
        print(text)
    if reconciliation.faults():
        raise typer.Exit(1)


def peek(
    stream: Annotated[str, typer.Argument(help="The stream, for example flights.departed.")],
    day: Annotated[str, typer.Option("--date", help="Only this event date, for example 2013-01-31.")] = "",
    count: Annotated[
        int, typer.Option("-n", parser=whole_number("N", 1, MAX_ROWS), help="Number of rows, the newest last.")
    ] = 5,
) -> None:
    """Show rows of the lake as JSON, one per line."""
    import pyarrow.compute as pc

    from sluice.lake.reader import LakeReader

    settings = load_settings()
    get_contract(load_contracts(settings.contracts), require(stream, "STREAM", "peek"))
    reader = LakeReader(settings, stream)
    selected_date = event_date(day) if day else None
    rows = reader.rows(pc.scalar(True), ["offset"], selected_date)
    if not rows.num_rows:
        raise TerminalError(
            f"the lake has no rows of {stream}{f' on {day}' if day else ''}", "send events with `make replay`"
        )
    # The last offsets of every partition are the newest rows: only these are read in full.
    floor = pc.max(rows["offset"]).as_py() - count
    newest = reader.rows(pc.field("offset") > floor, _PEEK_COLUMNS, selected_date)
    newest = newest.sort_by([("timestamp", "ascending"), ("offset", "ascending")])
    for row in newest.slice(max(newest.num_rows - count, 0)).to_batches(max_chunksize=1):
        print(json_row({name: python_value(row[name][0]) for name in row.column_names}, documents=["value"]))


def event_date(text: str) -> date:
    """Parses a date, for instance ``2013-01-31``.

    Raises:
        TerminalError: ``text`` is not a date.
    """
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise TerminalError(f"{text!r} is not a date", "write it as 2013-01-31") from None
