"""Mistakes in a command's arguments, as errors of one line, with an example of the command where one is missing."""

import re
from collections.abc import Callable

import typer

from sluice.errors import TerminalError

EXAMPLES = {
    "peek": "make peek STREAM=flights.departed",
    "sql": 'make sql Q="select * from marts.dim_carrier"',
    "new-stream": "make new-stream NAME=quakes.reported SAMPLE=quakes.json",
    "new-mart": "make new-mart NAME=agg_quakes_daily",
    "drop-stream": "make drop-stream NAME=gates.changed",
    "quarantine": "make quarantine A=list",
    "lake": "make lake A=status",
    "compare-engines": "make compare-engines FROM=2013-01-01 TO=2013-01-31",
    "contract": 'make contract A="export flights.departed"',
    "airflow": 'make airflow A="dags list"',
    "dbt": 'make dbt A="ls --select marts"',
    "reset": "make reset N=1",
    "new-exercise": "make new-exercise NAME=late-bags STAGE=ask",
}
"""A complete command for each that cannot run without arguments. ``producers`` has those that send events."""
MAX_ROWS = 100_000
"""The most records that a command prints: they are held in memory, and no terminal keeps more."""

_WHOLE_NUMBER = re.compile("[+-]?[0-9]{1,30}")

UsageError: type[Exception] = typer.BadParameter.__mro__[1]
"""What Typer raises for wrong arguments; it exports only this subclass."""


def require(value: str, variable: str, command: str) -> str:
    """Returns the value of a variable that a command cannot run without.

    Raises:
        TerminalError: it is empty; with an example.
    """
    if not value.strip():
        raise missing(variable, command)
    return value


def missing(variable: str, command: str) -> TerminalError:
    """Returns the error of a command that was given no value of a variable."""
    return TerminalError(f"{variable} is missing", f"for example `{EXAMPLES[command]}`")


def whole_number(variable: str, low: int, high: int) -> Callable[[str | int], int]:
    """Returns a parser of whole numbers from ``low`` to ``high``, both included.

    The parser raises a TerminalError that names the variable and the limits.
    """

    def parse(text: str | int) -> int:
        # Python would also read 1_000, and the digits of other scripts.
        if not _WHOLE_NUMBER.fullmatch(str(text)):
            raise TerminalError(f"{variable}={text} is not a whole number", f"write it as {low}")
        number = int(text)
        if not low <= number <= high:
            raise TerminalError(f"{variable}={text} is out of range", f"give a number from {low:,} to {high:,}")
        return number

    return parse


def one_of(variable: str, *choices: str) -> Callable[[str], str]:
    """Returns a parser of one of some words, or of nothing.

    The parser raises a TerminalError that names the variable and the words.
    """

    def parse(text: str) -> str:
        if text and text not in choices:
            raise TerminalError(f"{variable}={text} is unknown", f"set it to {' or '.join(choices)}, or leave it out")
        return text

    return parse


def as_error(error: Exception) -> TerminalError:
    """Returns what Typer found wrong with the arguments, as an error of one line."""
    context, parameter = getattr(error, "ctx", None), getattr(error, "param", None)
    path = [] if context is None else str(context.command_path).split()[1:]
    command = " ".join(path)
    example = EXAMPLES.get(path[0], "") if path else ""
    hint = f"for example `{example}`; " if example else ""
    message = str(getattr(error, "message", ""))
    if parameter is not None:
        name = str(parameter.get_error_hint()).strip("'")
        message = f"{name}: {message}" if message else f"{name} is missing"
    elif message == "Missing command.":
        message = "an action is missing"
    message = message.replace(". Did you mean", ", did you mean").rstrip(".?")
    message = f"{command}: {message[:1].lower()}{message[1:]}" if command else message
    return TerminalError(message, f"{hint}see `{' '.join(['infra/sluice', *path])} --help`")
