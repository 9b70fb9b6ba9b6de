"""The command that rebuilds the warehouse from the lake."""

import sys
from typing import Annotated

import typer

from sluice.contracts import load_contracts
from sluice.errors import TerminalError
from sluice.settings import load_settings


def register(app: typer.Typer) -> None:
    """Adds the command to the CLI."""

    @app.command("rebuild-warehouse")
    def rebuild_warehouse(force: Annotated[bool, typer.Option(help="Skip the confirmation.")] = False) -> None:
        """Empty raw tables, quarantine, ledger and marts, rebuild them from the lake, and compare the marts."""
        # Imported here because it imports Arrow and Delta.
        from sluice.backfill.rebuild_warehouse import rebuild
        from sluice.transform.dbt import Dbt

        settings = load_settings()
        contracts = load_contracts(settings.contracts)
        # Marts are rebuilt from all streams.
        contracts.require_all()
        if not force:
            if not sys.stdin.isatty():
                raise TerminalError(
                    "confirmation required: this empties the warehouse", "run `make rebuild-warehouse FORCE=1`"
                )
            typer.confirm("Empty the warehouse and rebuild it from the lake?", abort=True)
        try:
            result = rebuild(settings, contracts, dbt=Dbt(settings, print), log_line=print)
        except KeyboardInterrupt:
            hint = "Hint: `make rebuild-warehouse FORCE=1` resumes it."
            print(f"sluice: interrupted: the warehouse is partly rebuilt, loads continue. {hint}", file=sys.stderr)
            raise
        print(result.text())
        if not result.same:
            raise TerminalError("the rebuilt marts differ", "see `make reconcile` and `make lake A=verify`")
