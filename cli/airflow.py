"""Airflow's own command line, run in the environment of the platform's Airflow."""

import os

import typer

from cli.usage import missing
from infra.processes import processes
from infra.servers.airflow import SCHEDULER, command
from infra.servers.service import environment
from sluice.settings import ROOT, load_settings


def register(app: typer.Typer) -> None:
    """Adds the command to the CLI."""

    # All options, including --help, go to Airflow.
    @app.command(
        add_help_option=False,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
        help="Run Airflow's own command line, for example `airflow dags list`.",
    )
    def airflow(context: typer.Context) -> None:
        if not context.args:
            raise missing("A", "airflow")
        argv = command(*context.args)
        # Airflow warns that graphviz is missing even for commands that draw nothing.
        variables = environment(SCHEDULER, load_settings())
        variables["PYTHONWARNINGS"] = "ignore:Could not import graphviz:UserWarning"
        # The scheduler, when it starts, ends every process that names it: what an earlier one has left behind.
        del variables[processes.SERVICE]
        os.chdir(ROOT)
        os.execve(argv[0], argv, variables)  # noqa: S606 - arguments as a list, no shell
