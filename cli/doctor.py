"""The command that looks at the machine: what is there, what is missing, and how to mend it."""

import typer
from rich.console import Console
from rich.table import Table

from infra.install.prerequisites import diagnose
from sluice.settings import env_file, load_settings

_COLOURS = {"ok": "green", "note": "yellow", "fault": "red"}


def register(app: typer.Typer) -> None:
    """Adds the command to the CLI."""

    @app.command()
    def doctor() -> None:
        """Says what this machine has and lacks; exit code 1 only for what `make up` cannot do without."""
        findings = diagnose(load_settings(), env_file())
        table = Table(box=None, pad_edge=False)
        for name in ("what", "verdict", "found", "hint"):
            table.add_column(name, overflow="fold")
        for finding in findings:
            verdict = f"[{_COLOURS[finding.verdict]}]{finding.verdict}[/]"
            table.add_row(finding.what, verdict, finding.found, finding.hint)
        Console().print(table)
        if any(finding.verdict == "fault" for finding in findings):
            raise typer.Exit(1)
