"""The commands load and transform: trigger a run in Airflow, and follow it."""

import sys
import time
from typing import Annotated

import typer

from cli.contracts import valid_contracts
from sluice.contracts import load_contracts
from sluice.orchestration.batch import run_loads, run_transform, select_contracts
from sluice.settings import load_settings

LAKE_SECONDS = 120
"""How long `load` waits for the sink, which commits within ten seconds."""

Streams = Annotated[list[str] | None, typer.Option(help="Only this stream; repeat for more.")]


def register(app: typer.Typer) -> None:
    """Adds the commands to the CLI."""

    @app.command()
    def load(stream: Streams = None) -> None:
        """Load everything that Kafka has now into the warehouse, once it is in the lake."""
        # Imported here because it imports Arrow and Delta.
        from sluice.sink.arrival import wait_for_lake

        settings = load_settings()
        contracts = load_contracts(settings.contracts) if stream else valid_contracts(settings)
        selected = {contract.stream: contract.topic_name for contract in select_contracts(contracts, stream)}
        try:
            wait_for_lake(settings, selected, LAKE_SECONDS, lambda: time.sleep(0.5))
        except KeyboardInterrupt:
            print("sluice: interrupted: no load was started; Airflow loads by schedule", file=sys.stderr)
            raise
        run_loads(settings, [*selected])

    @app.command()
    def transform() -> None:
        """Rebuild the marts of all stale dates."""
        run_transform(load_settings())
