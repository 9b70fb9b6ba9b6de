"""The command that checks the machine's prerequisites."""

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from infra.install.prerequisites import check_prerequisites
from sluice.escaping import escape
from sluice.settings import env_file, load_settings

_COLOURS = {"ok": "green", "warning": "yellow", "error": "red"}


def register(app: typer.Typer) -> None:
    """Adds the command to the CLI."""

    @app.command()
    def doctor() -> None:
        """Check prerequisites, with a hint for each failed check; exit with 1 only if `make up` cannot work."""
        findings = check_prerequisites(load_settings(), env_file())
        table = Table(box=None, pad_edge=False)
        for name in ("check", "status", "found", "hint"):
            table.add_column(name, overflow="fold")
        for finding in findings:
            status = f"[{_COLOURS[finding.status]}]{finding.status}[/]"
            # Not as markup: paths and versions may hold brackets.
            table.add_row(finding.name, status, Text(escape(finding.found)), Text(escape(finding.hint)))
        Console().print(table)
        if any(finding.status == "error" for finding in findings):
            raise typer.Exit(1)
