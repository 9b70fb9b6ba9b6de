"""The `sluice` command: each module registers its group of commands."""

import io
import sys

import typer

from cli import (
    airflow,
    backfill,
    batch,
    contract,
    data,
    dbt,
    doctor,
    drop_stream,
    lake,
    lakehouse,
    learn,
    new_exercise,
    new_mart,
    new_stream,
    platform,
    quarantine,
    rebuild_warehouse,
    removed_marts,
    replay,
    report,
    sql,
)
from cli.usage import UsageError, as_error
from infra.processes.commands import LoggedError, last_lines
from infra.processes.environment import leave_shell
from sluice.errors import SluiceError, TerminalError

_MODULES = (
    *(platform, new_stream, replay, batch, backfill, rebuild_warehouse),
    *(data, sql, quarantine, lake, drop_stream, contract, airflow, dbt, new_mart, removed_marts, doctor),
    *(lakehouse,),
    *(learn, report, new_exercise),
)
"""In the order of the help."""


def build() -> typer.Typer:
    """Returns the application with all its commands."""
    app = typer.Typer(
        help="Run, monitor and verify the platform. `make help` lists the same commands with their usual arguments.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    for module in _MODULES:
        module.register(app)
    return app


def main() -> None:
    """Runs the command line. A SluiceError prints one line to stderr and exits with 1; Ctrl-C exits with 130."""
    leave_shell()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Flush every line, also to a pipe or a file: progress is visible, and errors come after it.
            stream.reconfigure(encoding="utf-8", line_buffering=True)
    try:
        reject_invalid_text(sys.argv)
        sys.exit(run(build()))
    except SluiceError as error:
        if isinstance(error, LoggedError):
            print(last_lines(error.log), file=sys.stderr)
        print(f"sluice: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def run(app: typer.Typer) -> int:
    """Runs the command that the arguments name; returns the exit code.

    Raises:
        SluiceError: the command failed, its arguments are wrong, or its question was answered with no.
    """
    try:
        # Not as a program of Typer's, which would print boxes.
        return app(prog_name="sluice", standalone_mode=False) or 0
    except typer.Abort:
        raise TerminalError("cancelled: nothing was changed") from None
    except UsageError as error:
        raise as_error(error) from None


def reject_invalid_text(arguments: list[str]) -> None:
    """Rejects arguments that are not UTF-8, which no server and no file name here can be.

    Raises:
        TerminalError: names the first of them.
    """
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise TerminalError(f"the argument {argument!r} is not UTF-8", "write it in UTF-8") from None
