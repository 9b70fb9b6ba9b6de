"""The commands of the second warehouse: lakehouse, which loads and builds it, and compare-engines."""

from typing import Annotated

import typer

from cli.data import event_date
from cli.usage import require
from sluice.settings import load_settings


def register(app: typer.Typer) -> None:
    """Adds the commands to the CLI."""

    @app.command()
    def lakehouse() -> None:
        """Load the lake into Spark's warehouse, and build, test and publish its marts."""
        from sluice.lakehouse.process import run

        settings = load_settings()
        for command in ("load", "build"):
            for line in run(command, settings=settings):
                print(line)

    @app.command()
    def compare_engines(
        first: Annotated[str, typer.Option("--from", help="First date, as 2013-01-01.")],
        last: Annotated[str, typer.Option("--to", help="Last date, as 2013-01-31.")],
    ) -> None:
        """Compare the marts of Postgres and Spark by date; the exit code is 0 only if all rows are equal."""
        # Imported here because it imports the warehouse's client.
        from sluice.lakehouse.comparison import compare

        comparison = compare(
            load_settings(),
            event_date(require(first, "FROM", "compare-engines")),
            event_date(require(last, "TO", "compare-engines")),
            _ignore,
        )
        for text in comparison.lines():
            print(text)
        comparison.require_equality()


def _ignore(line: str) -> None:
    """Drops a line of Spark's log: the result says what matters."""
