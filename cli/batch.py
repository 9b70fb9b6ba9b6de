"""The commands load and transform: have Airflow do the work, and follow it."""

import time
from typing import Annotated

import typer

from sluice.contracts import load_contracts
from sluice.orchestration.batch import choose_contracts, run_loads, run_transform
from sluice.settings import load_settings

LAKE_SECONDS = 120
"""How long `load` waits for the sink, which commits after ten seconds at most."""

Streams = Annotated[list[str] | None, typer.Option(help="Only this stream; repeat it for more.")]


def register(app: typer.Typer) -> None:
    """Adds the commands to the CLI."""

    @app.command()
    def load(stream: Streams = None) -> None:
        """Load everything that Kafka holds now into the warehouse, as soon as it is in the lake."""
        # Imported here: it brings Arrow and Delta.
        from sluice.sink.arrival import wait_for_lake

        settings = load_settings()
        chosen = [contract.stream for contract in choose_contracts(load_contracts(settings.contracts), stream)]
        wait_for_lake(settings, chosen, LAKE_SECONDS, lambda: time.sleep(0.5))
        run_loads(settings, chosen)

    @app.command()
    def transform() -> None:
        """Rebuild the marts of all stale dates."""
        run_transform(load_settings())
