"""The `sluice` command: every group of commands is a module that registers its own."""

import io
import sys

import typer

from cli import airflow, backfill, batch, data, doctor, lake, platform, quarantine, rebuild_warehouse, replay
from infra.processes.commands import LoggedError, last_lines
from sluice.errors import SluiceError


def build() -> typer.Typer:
    """The application with all its commands."""
    app = typer.Typer(
        help="Runs, watches and proves the platform. `make help` shows the same commands with their usual arguments.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    for module in (platform, replay, batch, backfill, rebuild_warehouse, data, quarantine, lake, airflow, doctor):
        module.register(app)
    return app


def main() -> None:
    """Runs the command line. A known fault is one line on stderr and exit code 1; Ctrl-C is exit code 130."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Into a pipe or a file too each line goes at once, so that progress is seen, and errors stand after it.
        sys.stdout.reconfigure(line_buffering=True)
    try:
        build()()
    except SluiceError as error:
        if isinstance(error, LoggedError):
            print(last_lines(error.log), file=sys.stderr)
        print(f"sluice: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
