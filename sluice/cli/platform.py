"""The commands that start, stop and show the platform."""

import typer

from sluice.runtime.platform import Platform
from sluice.settings import load_settings


def register(app: typer.Typer) -> None:
    """Adds the commands to the CLI."""

    @app.command()
    def down() -> None:
        """Stops everything; data stays."""
        Platform(load_settings()).stop()

    @app.command()
    def status() -> None:
        """Shows every service with its state, process, port, memory and time since its start."""
        print(Platform(load_settings()).status())
