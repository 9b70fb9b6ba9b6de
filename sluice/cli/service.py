"""The command that the supervisor runs for each service."""

from typing import Annotated

import typer

from sluice.errors import SluiceError
from sluice.runtime.service import become
from sluice.runtime.services import SERVICES
from sluice.settings import load_settings


def register(app: typer.Typer) -> None:
    """Adds the command to the CLI."""

    @app.command(hidden=True)
    def service(name: Annotated[str, typer.Argument(help="Its name in the table of services.")]) -> None:
        """Becomes a service, with that service's own settings and secrets (what the supervisor runs)."""
        if name not in SERVICES:
            raise SluiceError(f"there is no service {name}", f"choose from {', '.join(SERVICES)}")
        become(SERVICES[name], load_settings())
