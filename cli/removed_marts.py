"""Marts that no model builds any more: `make up` offers to drop them, and `make status` names them."""

import sys
from typing import Annotated

import typer

from sluice.contracts import load_contracts
from sluice.errors import SluiceError, TransientError
from sluice.settings import load_settings


def register(app: typer.Typer) -> None:
    """Adds the command to the CLI. `make up` and `make status` run it in containers."""

    @app.command(hidden=True)
    def removed_marts(
        drop: Annotated[bool, typer.Option(help="Offer to drop them.")] = False,
        force: Annotated[bool, typer.Option(help="Drop them without asking.")] = False,
    ) -> None:
        """Name the marts that no model builds any more."""
        if drop:
            offer_to_drop(force)
        else:
            name_removed()


def name_removed() -> None:
    """Prints a line that names the marts that the last transform has found without a model, if there are any."""
    from sluice.transform.removed import read_removed, warning

    if names := read_removed(load_settings()):
        print(warning(names))


def offer_to_drop(force: bool) -> None:
    """Drops the marts that no model builds, after it has asked; without a terminal, prints what stays.

    Args:
        force: drop them without asking.
    """
    from sluice.transform.dbt import Dbt
    from sluice.transform.removed import drop_marts, find_removed, warning

    settings = load_settings()
    dbt = Dbt(settings, lambda _: None)
    try:
        names = find_removed(settings, load_contracts(settings.contracts), dbt=dbt)
        if not names:
            return
        if not force and not _is_confirmed(names):
            print(warning(names))
            return
        errors = drop_marts(settings, names, dbt=dbt)
    except TransientError:
        # A transform is running. It names them.
        return
    except SluiceError as error:
        print(f"warning: marts without a model are unknown: {error}")
        return
    for problem in errors.values():
        print(f"warning: {problem}")
    if dropped := [f"marts.{name}" for name in names if name not in errors]:
        print(f"dropped {', '.join(dropped)}")


def _is_confirmed(names: list[str]) -> bool:
    # With the output in a file, a launch would wait for an answer to a question that is not on the screen.
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    tables = ", ".join(f"marts.{name}" for name in names)
    try:
        return typer.confirm(f"No model builds {tables} any more. Drop?")
    except typer.Abort:
        # Ctrl-C and Ctrl-D say no to this. The launch before the question is complete.
        print()
        return False
