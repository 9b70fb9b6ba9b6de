"""The commands of the second warehouse: lakehouse, which loads and builds it, and compare-engines."""

import json
from collections.abc import Callable, Iterator
from datetime import date
from typing import Annotated

import typer

from cli.data import event_date
from sluice.errors import TerminalError
from sluice.settings import load_settings


def register(app: typer.Typer) -> None:
    """Adds the commands to the CLI."""

    @app.command()
    def lakehouse() -> None:
        """Load the lake into Spark's warehouse, and build, test and publish its marts."""
        for command in ("load", "build"):
            for line in _spark(command):
                print(line)

    @app.command()
    def compare_engines(
        first: Annotated[str, typer.Option("--from", help="First date, as 2013-01-01.")],
        last: Annotated[str, typer.Option("--to", help="Last date, as 2013-01-31.")],
    ) -> None:
        """Compare the marts of Postgres and Spark by date; the exit code is 0 only if all rows are equal."""
        # Imported here because it imports the warehouse's client.
        from sluice.lakehouse.comparison import Comparison
        from sluice.warehouse import checksum, connect

        start, end = event_date(first), event_date(last)
        with connect(load_settings(), "reader") as warehouse:
            postgres = checksum.marts(warehouse, start, end)
        spark: dict[str, dict[date | None, checksum.Checksum]] = {}
        for line in _spark("checksums", start.isoformat(), end.isoformat(), log_line=_ignore):
            mart, day, rows, hashed = json.loads(line)
            spark.setdefault(mart, {})[date.fromisoformat(day) if day else None] = checksum.Checksum(rows, hashed)
        comparison = Comparison(postgres, spark)
        for text in comparison.lines():
            print(text)
        if differences := comparison.differences():
            raise TerminalError(
                f"the engines differ in {len(differences)} marts and dates",
                "give both the same events: run `make load`, `make transform` and `make lakehouse`",
            )


def _ignore(line: str) -> None:
    """Drops a line of Spark's log: the result says what matters."""


def _spark(*arguments: str, log_line: Callable[[str], None] = print) -> Iterator[str]:
    from sluice.lakehouse.process import run

    return run(*arguments, settings=load_settings(), log_line=log_line)
