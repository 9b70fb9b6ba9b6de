"""The commands of the quarantine: list, show, replay, discard.

Arrow and the servers' clients are imported where they are used, so that other commands start without them.
"""

from collections import Counter
from typing import TYPE_CHECKING, Annotated
from urllib.parse import unquote

import typer

from cli.contracts import valid_contracts
from cli.data import event_date
from cli.json_rows import json_row
from cli.os_user import os_user
from cli.usage import MAX_ROWS, whole_number
from sluice.contracts import get_contract, load_contracts
from sluice.errors import TerminalError
from sluice.escaping import escape, shorten
from sluice.settings import Settings, load_settings

if TYPE_CHECKING:
    from sluice.quarantine.records import Selection

MAX_KIND = 200
"""Characters of a reason that `list` prints; `show` prints it in full."""

Stream = Annotated[str | None, typer.Option(help="Only this stream.")]
Date = Annotated[str | None, typer.Option(help="Only this event date, for example 2013-01-31.")]
Reason = Annotated[str, typer.Option(help="Only reasons with this prefix, as `list` shows them or in full.")]
Kind = Annotated[
    str | None,
    typer.Option(
        parser=unquote, metavar="<str>", help="Only this kind of reason, in full; %27 is an apostrophe, as in URLs."
    ),
]
All = Annotated[bool, typer.Option("--all", help="Include discarded records.")]
By = Annotated[str | None, typer.Option(help="Actor recorded in the audit log; the OS user by default.")]


def register(app: typer.Typer) -> None:
    """Adds the group of commands to the CLI."""
    quarantine = typer.Typer(help="Show, replay and discard invalid records.")
    quarantine.command("list")(list_)
    for command in (show, replay, discard):
        quarantine.command()(command)
    app.add_typer(quarantine, name="quarantine")


def list_(
    stream: Stream = None, date: Date = None, reason: Reason = "", kind: Kind = None, everything: All = False
) -> None:
    """Count the records in quarantine by stream, date and kind of reason."""
    from sluice.quarantine.records import groups as count_groups

    settings = load_settings()
    groups = count_groups(settings, _selection(settings, stream, date, reason, kind, everything))
    streams = [escape(group.stream) for group in groups]
    width = max(map(len, streams), default=0)
    for name, group in zip(streams, groups, strict=True):
        discarded = f"  ({group.discarded:,} discarded)" if group.discarded else ""
        shown = shorten(escape(group.kind), MAX_KIND)
        print(f"{name:<{width}}  {group.event_date}  {group.records:>7,}  {shown}{discarded}")
    count = sum(group.records for group in groups)
    print(f"{count:,} {'record' if count == 1 else 'records'} in quarantine")


def show(
    stream: Stream = None,
    date: Date = None,
    reason: Reason = "",
    kind: Kind = None,
    everything: All = False,
    count: Annotated[
        int, typer.Option("-n", parser=whole_number("-n", 1, MAX_ROWS), help="Maximum number of records.")
    ] = 20,
) -> None:
    """Show records as JSON, one per line: their source, the reason, and their bytes."""
    from sluice.quarantine.records import show as read_records

    settings = load_settings()
    for record in read_records(settings, _selection(settings, stream, date, reason, kind, everything), count):
        if not record["discarded"]:
            record = {name: record[name] for name in record if name not in ("discarded", "note", "done_by", "done_at")}
        print(json_row(record))


def replay(stream: Stream = None, date: Date = None, reason: Reason = "", by: By = None) -> None:
    """Validate records against the current contracts, and move the valid ones to the raw tables."""
    from sluice.quarantine.records import groups as count_groups
    from sluice.quarantine.replay import replay as replay_date

    settings = load_settings()
    contracts = valid_contracts(settings)
    selection = _selection(settings, stream, date, reason)
    if stream is not None and stream not in contracts:
        raise TerminalError(
            f"the contract of {stream} was removed: its records stay in quarantine",
            f"restore the file {stream}.yaml and run `make up`, or delete everything with"
            f" `make drop-stream NAME={stream}`",
        )
    moved = left = 0
    for result in replay_date(settings, contracts, selection, by or os_user()):
        if result.moved:
            print(f"{result.stream} {result.event_date}: {result.moved:,} replayed, {result.left:,} left", flush=True)
        moved += result.moved
        left += result.left
    print(f"{moved:,} replayed, {left:,} still invalid")
    waiting = Counter[str]()
    for group in count_groups(settings, selection):
        waiting[group.stream] += 0 if group.stream in contracts else group.records
    for name, count in (+waiting).items():
        print(f"{escape(name)}: {count:,} not validated, because the stream has no valid contract")


def discard(
    note: Annotated[str, typer.Option(help="Reason for discarding them, recorded in the audit log.")],
    stream: Stream = None,
    date: Date = None,
    reason: Reason = "",
    kind: Kind = None,
    by: By = None,
) -> None:
    """Mark records as discarded: they stay in quarantine, and are listed only with --all."""
    from sluice.quarantine.records import discard as discard_records

    settings = load_settings()
    count = discard_records(settings, _selection(settings, stream, date, reason, kind), note, by or os_user())
    print(f"{count:,} discarded")


def _selection(
    settings: Settings,
    stream: str | None,
    date: str | None,
    reason: str,
    kind: str | None = None,
    everything: bool = False,
) -> "Selection":
    from sluice.quarantine.records import Selection
    from sluice.removed.remains import removed_streams

    if stream is not None:
        contracts = load_contracts(settings.contracts)
        # Records of a removed contract can be shown and discarded.
        if stream not in removed_streams(settings, contracts):
            get_contract(contracts, stream)
    return Selection(stream, event_date(date) if date else None, reason, kind, everything)
