"""The command that writes a new mart from a template: a model, its documentation and tests, and a unit test."""

import re
from pathlib import Path
from typing import Annotated

import typer

from cli.contracts import valid_contracts
from cli.model_files import mart, rebuild_key
from cli.new_files import write_files
from cli.usage import require
from sluice.contracts import Contract, get_contract
from sluice.errors import TerminalError
from sluice.settings import ROOT, Settings, load_settings

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


def register(app: typer.Typer) -> None:
    """Adds the command to the CLI."""
    app.command()(new_mart)


def new_mart(
    name: Annotated[str, typer.Argument(help="The mart's name, for example agg_quakes_daily.")],
    stream: Annotated[str, typer.Option(help="The stream it counts; by default that of the newest contract.")] = "",
    plain: Annotated[bool, typer.Option("--plain", help="Rebuild the whole mart in each run.")] = False,
) -> None:
    """Write a mart that counts a stream's events per date, to be edited, with its tests."""
    require(name, "NAME", "new-mart")
    settings = load_settings()
    contracts = valid_contracts(settings)
    if not stream:
        stream = max(contracts, key=lambda stream: (settings.contracts / f"{stream}.yaml").stat().st_mtime)
        print(f"stream: {stream}, the newest contract; STREAM=… names another")
    files = mart_files(settings, name, get_contract(contracts, stream), plain)
    write_files(files)
    for path in files:
        print(f"wrote {path.relative_to(ROOT) if path.is_relative_to(ROOT) else path}")
    print('next: edit them, then `make transform`; `make dbt A="test --selector unit"` runs the unit tests')


def mart_files(settings: Settings, name: str, contract: Contract, plain: bool) -> dict[Path, bytes]:
    """Returns the files of a new mart by path.

    Raises:
        TerminalError: the name is not one, or is taken, or the stream has no staging model.
    """
    if not _NAME.fullmatch(name):
        raise TerminalError(
            f"{name!r} cannot be the name of a mart", "give words in lower case, such as agg_quakes_daily"
        )
    models = settings.dbt / "models"
    taken = [path for folder in (models, settings.dbt / "seeds") for path in folder.rglob(f"{name}.*")]
    if taken:
        raise TerminalError(f"{taken[0]} exists already", f"choose another name than {name}")
    staging = models / "staging" / f"stg_{contract.table}.sql"
    if not staging.exists():
        raise TerminalError(
            f"{contract.stream} has no staging model {staging}", "`make new-stream` writes one; copy it, or another one"
        )
    files = {models / "marts" / file: text.encode() for file, text in mart(name, contract, plain).items()}
    key_file, key_text = rebuild_key(contract)
    key_path = settings.dbt / "macros" / key_file
    # Another mart of the stream may have brought it.
    if not plain and not key_path.exists():
        files[key_path] = key_text.encode()
    return files
