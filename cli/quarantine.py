"""The commands of the quarantine: list, show, replay, discard.

Arrow and the servers' clients are imported where they are used: every other command starts without them.
"""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from cli.data import as_text, event_date
from cli.os_user import os_user
from sluice.contracts import get_contract, load_contracts
from sluice.settings import Settings, load_settings

if TYPE_CHECKING:
    from sluice.quarantine.records import Selection

Stream = Annotated[str | None, typer.Option(help="Only this stream.")]
Date = Annotated[str | None, typer.Option(help="Only this event date, as 2013-01-31.")]
Reason = Annotated[str, typer.Option(help="Only where the reason, as `list` names it or in full, begins like this.")]
All = Annotated[bool, typer.Option("--all", help="Discarded ones too.")]
By = Annotated[str | None, typer.Option(help="Who asks for it; your user's name by default.")]


def register(app: typer.Typer) -> None:
    """Adds the group of commands."""
    quarantine = typer.Typer(help="Shows, replays and discards what did not fit its contract.", no_args_is_help=True)
    quarantine.command("list")(list_)
    for command in (show, replay, discard):
        quarantine.command()(command)
    app.add_typer(quarantine, name="quarantine")


def list_(stream: Stream = None, date: Date = None, reason: Reason = "", everything: All = False) -> None:
    """Counts what is in quarantine, by stream, date and kind of reason."""
    from sluice.quarantine.records import groups

    settings = load_settings()
    found = groups(settings, _selection(settings, stream, date, reason, everything))
    width = max((len(each.stream) for each in found), default=0)
    for each in found:
        discarded = f"  ({each.discarded:,} discarded)" if each.discarded else ""
        print(f"{each.stream:<{width}}  {each.event_date}  {each.records:>7,}  {each.kind}{discarded}")
    count = sum(each.records for each in found)
    print(f"{count:,} {'record' if count == 1 else 'records'} in quarantine")


def show(
    stream: Stream = None,
    date: Date = None,
    reason: Reason = "",
    everything: All = False,
    count: Annotated[int, typer.Option("-n", min=1, help="How many at most.")] = 20,
) -> None:
    """Shows records as JSON, one per line: where they came from, why they are here, and their bytes."""
    from sluice.quarantine.records import show as look

    settings = load_settings()
    for record in look(settings, _selection(settings, stream, date, reason, everything), count):
        if not record["discarded"]:
            record = {name: record[name] for name in record if name not in ("discarded", "note", "done_by", "done_at")}
        print(json.dumps({name: as_text(value) for name, value in record.items()}, ensure_ascii=False))


def replay(stream: Stream = None, date: Date = None, reason: Reason = "", by: By = None) -> None:
    """Checks records against the contracts as they are now, and brings those that fit to the raw tables."""
    from sluice.quarantine.replay import replay as check

    settings = load_settings()
    moved = left = 0
    for each in check(
        settings, load_contracts(settings.contracts), _selection(settings, stream, date, reason), by or os_user()
    ):
        if each.moved:
            print(f"{each.stream} {each.event_date}: {each.moved:,} replayed, {each.left:,} left", flush=True)
        moved += each.moved
        left += each.left
    print(f"{moved:,} replayed, {left:,} do not fit their contract")


def discard(
    note: Annotated[str, typer.Option(help="Why nothing is to be done about them.")],
    stream: Stream = None,
    date: Date = None,
    reason: Reason = "",
    by: By = None,
) -> None:
    """Says that nothing is to be done about records: they stay where they are, and are listed only with --all."""
    from sluice.quarantine.records import discard as put_aside

    settings = load_settings()
    count = put_aside(settings, _selection(settings, stream, date, reason), note, by or os_user())
    print(f"{count:,} discarded")


def _selection(
    settings: Settings, stream: str | None, date: str | None, reason: str, everything: bool = False
) -> "Selection":
    from sluice.quarantine.records import Selection

    if stream is not None:
        get_contract(load_contracts(settings.contracts), stream)
    return Selection(stream, event_date(date) if date else None, reason, everything)
