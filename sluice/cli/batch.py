"""The commands that have Airflow do something and follow it: load, transform, backfill."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from sluice.contracts import Contract, load_contracts
from sluice.errors import TerminalError
from sluice.orchestration.follow import Run, follow, follow_backfill, wait_for_dags
from sluice.orchestration.history import event_range
from sluice.orchestration.rest import Airflow
from sluice.settings import Settings, load_settings

TRANSFORM = "transform"
REBUILD = "rebuild"
LAKE_SECONDS = 120
"""How long `load` waits for the sink; it commits after ten seconds at most."""
AT_ONCE = 2
"""Dates that a backfill rebuilds at once: as many as the smallest machine has processors."""

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
    chosen = _choose(load_contracts(settings.contracts), streams)
    with _airflow(settings) as airflow:
        _run(airflow, [contract.dag_id for contract in chosen], show)


def run_transform(settings: Settings, show: Show = print) -> None:
    """Rebuilds the marts of whatever dates were touched, through Airflow, and returns when it is done.

    Raises:
        TerminalError: it failed.
        TransientError: Airflow is not there.
    """
    with _airflow(settings) as airflow:
        _run(airflow, [TRANSFORM], show)


def run_backfill(
    settings: Settings, first: str, last: str, streams: list[str] | None = None, show: Show = print
) -> None:
    """Loads a range of event dates (UTC, both ends included) again from the lake, then rebuilds their marts.

    Raises:
        TerminalError: the range or a stream is wrong, or some dates failed; the others are in the warehouse, and their
            marts rebuilt.
        TransientError: Airflow is not there, or is at another backfill.
    """
    start, end = event_range(first, last)
    chosen = _choose(load_contracts(settings.contracts), streams)
    days = (end - start).days + 1
    with _airflow(settings) as airflow:
        wait_for_dags(airflow, [REBUILD, TRANSFORM])
        airflow.refuse_paused(TRANSFORM)
        conf = {"streams": [contract.stream for contract in chosen]}
        number = airflow.backfill(REBUILD, start, end, conf, AT_ONCE)
        show(f"{REBUILD}: backfill {number} of {days} dates, {start} to {end}")
        try:
            follow_backfill(airflow, REBUILD, lambda: list(airflow.backfill_runs(REBUILD, start, end)), days, show)
        finally:
            # Dates that were rebuilt are to be seen in the marts, whether or not others failed.
            _run(airflow, [TRANSFORM], show)


def register(app: typer.Typer) -> None:
    """Adds the commands to the CLI."""

    @app.command()
    def load(stream: Streams = None) -> None:
        """Loads everything that Kafka holds now into the warehouse, as soon as it is in the lake, and follows it."""
        # Imported here: it brings Arrow and Delta.
        from sluice.lake.arrival import wait_for_lake

        settings = load_settings()
        chosen = [contract.stream for contract in _choose(load_contracts(settings.contracts), stream)]
        wait_for_lake(settings, chosen, LAKE_SECONDS, lambda: time.sleep(0.5))
        run_loads(settings, chosen)

    @app.command()
    def transform() -> None:
        """Rebuilds the marts of the dates that were touched, and follows it."""
        run_transform(load_settings())

    @app.command()
    def backfill(
        first: Annotated[str, typer.Option("--from", help="First event date (UTC), as 2013-01-01.")],
        last: Annotated[str, typer.Option("--to", help="Last event date (UTC), included.")],
        stream: Streams = None,
    ) -> None:
        """Loads a range of dates again from the lake, rebuilds their marts, and follows it."""
        run_backfill(load_settings(), first, last, stream)


def _run(airflow: Airflow, dag_ids: list[str], show: Show) -> None:
    wait_for_dags(airflow, dag_ids)
    follow(airflow, [Run(dag_id, airflow.trigger(dag_id)) for dag_id in dag_ids], show)


def _choose(contracts: dict[str, Contract], streams: list[str] | None) -> list[Contract]:
    for stream in streams or ():
        if stream not in contracts:
            raise TerminalError(f"there is no stream {stream}", f"choose from {', '.join(contracts)}")
    return [contract for contract in contracts.values() if not streams or contract.stream in streams]


@contextmanager
def _airflow(settings: Settings) -> Iterator[Airflow]:
    airflow = Airflow(settings)
    try:
        yield airflow
    finally:
        airflow.close()
