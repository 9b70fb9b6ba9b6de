"""The commands that have Airflow do something and follow it: load and transform."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from sluice.contracts import Contract, load_contracts
from sluice.errors import TerminalError
from sluice.orchestration.follow import follow, start, wait_for_dags
from sluice.orchestration.rest import Airflow
from sluice.settings import Settings, load_settings

TRANSFORM = "transform"
LAKE_SECONDS = 120
"""How long `load` waits for the sink; it commits after ten seconds at most."""

Streams = Annotated[list[str] | None, typer.Option(help="Only this stream; repeat it for more.")]
Show = Callable[[str], None]


def run_loads(settings: Settings, streams: list[str] | None = None, show: Show = print) -> None:
    """Loads what the lake has into the warehouse, through Airflow, and returns when it is done.

    A load of the same stream that is going on ends first; ours then takes what it had not seen.

    Args:
        settings: with the password of Airflow's user.
        streams: which ones; all of them by default.
        show: takes progress, line by line.

    Raises:
        TerminalError: there is no such stream, or a load failed.
        TransientError: Airflow is not there.
    """
    chosen = choose(load_contracts(settings.contracts), streams)
    with airflow_of(settings) as airflow:
        run_dags(airflow, [contract.dag_id for contract in chosen], show)


def run_transform(settings: Settings, show: Show = print) -> None:
    """Rebuilds the marts of whatever dates were touched, through Airflow, and returns when it is done.

    Raises:
        TerminalError: it failed.
        TransientError: Airflow is not there.
    """
    with airflow_of(settings) as airflow:
        run_dags(airflow, [TRANSFORM], show)


def register(app: typer.Typer) -> None:
    """Adds the commands to the CLI."""

    @app.command()
    def load(stream: Streams = None) -> None:
        """Loads everything that Kafka holds now into the warehouse, as soon as it is in the lake, and follows it."""
        # Imported here: it brings Arrow and Delta.
        from sluice.lake.arrival import wait_for_lake

        settings = load_settings()
        chosen = [contract.stream for contract in choose(load_contracts(settings.contracts), stream)]
        wait_for_lake(settings, chosen, LAKE_SECONDS, lambda: time.sleep(0.5))
        run_loads(settings, chosen)

    @app.command()
    def transform() -> None:
        """Rebuilds the marts of the dates that were touched, and follows it."""
        run_transform(load_settings())


def run_dags(airflow: Airflow, dag_ids: list[str], show: Show) -> None:
    """Asks for a run of each DAG and follows them to their end."""
    wait_for_dags(airflow, dag_ids)
    follow(airflow, [start(airflow, dag_id) for dag_id in dag_ids], show)


def choose(contracts: dict[str, Contract], streams: list[str] | None) -> list[Contract]:
    """The contracts of the streams named; all of them where none is.

    Raises:
        TerminalError: there is no such stream.
    """
    for stream in streams or ():
        if stream not in contracts:
            raise TerminalError(f"there is no stream {stream}", f"choose from {', '.join(contracts)}")
    return [contract for contract in contracts.values() if not streams or contract.stream in streams]


@contextmanager
def airflow_of(settings: Settings) -> Iterator[Airflow]:
    """A client of the platform's Airflow."""
    airflow = Airflow(settings)
    try:
        yield airflow
    finally:
        airflow.close()
