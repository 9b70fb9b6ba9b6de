"""The command that checks the machine's prerequisites."""

import typer
from rich.console import Console
from rich.table import Table

from infra.install.prerequisites import check_prerequisites
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
            table.add_row(finding.name, status, finding.found, finding.hint)
        Console().print(table)
        if any(finding.status == "error" for finding in findings):
            raise typer.Exit(1)
