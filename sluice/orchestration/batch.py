"""Triggers loads and transforms in Airflow, and follows the runs until they end. Needs no Airflow package."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from sluice.contracts import Contract, get_contract, load_contracts
from sluice.orchestration.follow import Run, Show, follow, trigger_run, wait_for_dags
from sluice.orchestration.rest import Airflow
from sluice.settings import Settings

TRANSFORM = "transform"
"""The DAG that rebuilds the marts."""


def run_loads(
    settings: Settings, streams: list[str] | None = None, show: Show = print, since: datetime | None = None
) -> None:
    """Loads new data from the lake into the warehouse, through Airflow, and returns when that is done.

    If a load of the same stream is active, the new one is queued behind it and loads what has arrived since.

    Args:
        settings: with the password of Airflow's user.
        streams: the streams to load; all by default.
        show: receives progress, line by line.
        since: when all that has to be loaded was in the lake: a load that was queued later is followed, instead of
            another one.

    Raises:
        TerminalError: a stream is unknown, or a load failed.
        TransientError: Airflow is down.
    """
    contracts = select_contracts(load_contracts(settings.contracts), streams)
    with airflow_client(settings) as airflow:
        run_dags(airflow, [contract.dag_id for contract in contracts], show, since)


def run_transform(settings: Settings, show: Show = print) -> None:
    """Rebuilds the marts of all stale dates, through Airflow, and returns when that is done.

    Raises:
        TerminalError: the transform failed.
        TransientError: Airflow is down.
    """
    with airflow_client(settings) as airflow:
        run_dags(airflow, [TRANSFORM], show)


def run_dags(airflow: Airflow, dag_ids: list[str], show: Show, since: datetime | None = None) -> None:
    """Triggers a run of each DAG, unless one was queued since a moment, and follows the runs until they end."""
    wait_for_dags(airflow, dag_ids)
    queued = {dag_id: airflow.run_since(dag_id, since) if since else None for dag_id in dag_ids}
    runs = [Run(dag_id, run_id) if run_id else trigger_run(airflow, dag_id) for dag_id, run_id in queued.items()]
    follow(airflow, runs, show)


def select_contracts(contracts: dict[str, Contract], streams: list[str] | None) -> list[Contract]:
    """Returns the contracts of the given streams; all of them if none is given.

    Raises:
        TerminalError: a stream is unknown.
    """
    for stream in streams or ():
        get_contract(contracts, stream)
    return [contract for contract in contracts.values() if not streams or contract.stream in streams]


@contextmanager
def airflow_client(settings: Settings) -> Iterator[Airflow]:
    """Yields a client of the platform's Airflow, and closes it afterwards."""
    airflow = Airflow(settings)
    try:
        yield airflow
    finally:
        airflow.close()
