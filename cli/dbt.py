"""dbt's own command line, run on the platform's warehouse under the same lock as the transforms."""

import typer

from cli.contracts import valid_contracts
from cli.usage import missing
from infra.processes.environment import shell_environment
from sluice.settings import load_settings


def register(app: typer.Typer) -> None:
    """Adds the command to the CLI."""

    # All options, including --help, go to dbt.
    @app.command(
        add_help_option=False,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
        help="Run dbt's own command line, for example `dbt build --selector transform --full-refresh`.",
    )
    def dbt(context: typer.Context) -> None:
        from sluice.transform import run_dbt
        from sluice.transform.dbt import Dbt

        if not context.args:
            raise missing("A", "dbt")
        settings = load_settings()
        contracts = valid_contracts(settings)
        run_dbt(settings, contracts, context.args, dbt=Dbt(settings, print), log_line=print, shell=shell_environment())
