"""The command that makes the warehouse again from the lake."""

import sys
from typing import Annotated

import typer

from sluice.contracts import load_contracts
from sluice.errors import TerminalError
from sluice.settings import load_settings


def register(app: typer.Typer) -> None:
    """Adds the command to the CLI."""

    @app.command("rebuild-warehouse")
    def rebuild_warehouse(force: Annotated[bool, typer.Option(help="Do not ask.")] = False) -> None:
        """Empties raw tables, quarantine, ledger and marts, makes them again from the lake, and compares the marts."""
        # Imported here: it brings Arrow and Delta.
        from sluice.backfill.rebuild_warehouse import rebuild
        from sluice.transform.dbt import Dbt

        settings = load_settings()
        if not force:
            if not sys.stdin.isatty():
                raise TerminalError(
                    "nobody is there to ask whether the warehouse may be emptied", "`make rebuild-warehouse FORCE=1`"
                )
            typer.confirm("Empty the warehouse, and make it again from the lake?", abort=True)
        found = rebuild(settings, load_contracts(settings.contracts), dbt=Dbt(settings, print), say=print)
        print(found.text())
        if not found.same:
            raise TerminalError("the marts are not what they were", "see `make reconcile` and `make lake A=verify`")
