"""Airflow's own command line, in the environment that the platform's Airflow has."""

import os

import typer

from infra.servers.airflow import SCHEDULER, command
from infra.servers.service import environment
from sluice.settings import ROOT, load_settings


def register(app: typer.Typer) -> None:
    """Adds the command to the CLI."""

    # The options are Airflow's own; so is its --help.
    @app.command(
        add_help_option=False,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
        help="Airflow's own command line, as `airflow dags list`.",
    )
    def airflow(context: typer.Context) -> None:
        argv = command(*context.args)
        # Commands that draw nothing warn too.
        quiet = {"PYTHONWARNINGS": "ignore:Could not import graphviz:UserWarning"}
        os.chdir(ROOT)
        os.execve(argv[0], argv, environment(SCHEDULER, load_settings()) | quiet)  # noqa: S606 - a list of words, no shell
