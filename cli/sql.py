"""The command sql: runs statements in the warehouse, and prints each result.

The servers' clients are imported where they are used, so that other commands start without them.
"""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, cast

import typer

from cli.query_results import FORMATS, Result, write_result
from cli.usage import require
from sluice.errors import TerminalError
from sluice.escaping import escape
from sluice.settings import load_settings

if TYPE_CHECKING:
    import psycopg

_ROLES = ("reader", "loader", "transformer", "postgres")
_DENIED = "42501"
"""The SQLSTATE of a missing privilege."""


def register(app: typer.Typer) -> None:
    """Adds the command to the CLI."""
    app.command()(sql)


def sql(
    query: Annotated[str, typer.Argument(help="SQL statements, separated by semicolons, in one transaction.")],
    role: Annotated[str, typer.Option("--as", help=f"Role: {', '.join(_ROLES)}.")] = "reader",
    format_name: Annotated[str, typer.Option("--format", help=f"Form of the results: {', '.join(FORMATS)}.")] = "csv",
) -> None:
    """Query the warehouse and print every result, by default as CSV with a header."""
    import psycopg

    from sluice.warehouse.connect import Role, connect

    for variable, value, choices in (("AS", role, _ROLES), ("FORMAT", format_name, FORMATS)):
        if value not in choices:
            raise TerminalError(f"{variable}={value} is unknown", f"choose from {', '.join(choices)}")
    require(query, "Q", "sql")
    try:
        with connect(load_settings(), cast(Role, role)) as connection:
            for number, result in enumerate(_results(connection, query)):
                if number:
                    print()
                write_result(result, format_name)
    except psycopg.Error as error:
        for line in _place(error):
            print(line, file=sys.stderr)
        raise _failure(error, role) from error


def _results(connection: "psycopg.Connection[tuple[object, ...]]", query: str) -> Iterator[Result]:
    """Yields the result of each statement."""
    from sluice.warehouse.values import load_all_as_text

    with connection.cursor() as cursor:
        # As Postgres writes them: Python has no such thing as a date before Christ or an infinite one.
        load_all_as_text(cursor)
        cursor.execute(query.encode())
        more: bool | None = True
        while more:
            columns = [(column.name, column.type_code) for column in cursor.description or ()]
            rows = cast(Iterator[tuple[str | None, ...]], cursor if cursor.description else iter(()))
            yield Result(columns, rows, cursor.statusmessage or "")
            more = cursor.nextset()


def _place(error: "psycopg.Error") -> list[str]:
    """Returns the lines with which Postgres points at the place of an error, with a caret; none if it has no place."""
    lines = str(error).splitlines()
    start = next((index for index, line in enumerate(lines) if line.startswith("LINE ")), len(lines))
    return [escape(line.expandtabs(1)) for line in lines[start : start + 2]]


def _failure(error: "psycopg.Error", role: str) -> TerminalError:
    from sluice.warehouse.failures import cause

    hint = error.diag.message_hint or "fix the query"
    if error.sqlstate == _DENIED:
        others = ", ".join(other for other in _ROLES if other != role)
        hint = f"AS= chooses another role: {others}; docs/how-to/query-the-data.md says what each reads"
    return TerminalError(f"the query failed as {role}: {cause(error)}", hint)
