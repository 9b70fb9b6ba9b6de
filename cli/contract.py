"""The commands that exchange contracts with other tools: contract export, contract import."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from sluice.contracts import get_contract, load_contracts
from sluice.contracts.standards import FORMATS, export_contract, import_contract
from sluice.errors import TerminalError
from sluice.escaping import escape
from sluice.settings import load_settings


def register(app: typer.Typer) -> None:
    """Adds the group of commands to the CLI."""
    contract = typer.Typer(help="Exchange contracts with other tools.")
    contract.command("export")(export)
    contract.command("import")(import_)
    app.add_typer(contract, name="contract")


def export(
    stream: Annotated[str, typer.Argument(help="The stream, for example flights.departed.")],
    format_name: Annotated[str, typer.Option("--format", help=f"Standard: {', '.join(FORMATS)}.")] = FORMATS[0],
) -> None:
    """Print a stream's contract as a document of a standard."""
    if format_name not in FORMATS:
        raise TerminalError(f"unknown format {format_name!r}", f"choose from {', '.join(FORMATS)}")
    print(export_contract(get_contract(load_contracts(load_settings().contracts), stream), format_name), end="")


def import_(
    file: Annotated[Path, typer.Argument(help="A contract of ODCS 3, or a JSON Schema of the events.")],
    name: Annotated[str | None, typer.Option(help="Name of the stream, if the file has none that fits.")] = None,
) -> None:
    """Print the contract that a file describes, and on stderr what could not be taken over."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise TerminalError(f"cannot read {file}: {cause}", "name a readable file") from None
    imported = import_contract(text, name)
    print(imported.yaml(), end="")
    for note in imported.notes:
        print(f"sluice: {escape(note)}", file=sys.stderr)
