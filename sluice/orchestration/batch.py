"""Has Airflow load and transform now, and follows the runs to their end. Needs no Airflow package."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sluice.contracts import Contract, get_contract, load_contracts
from sluice.orchestration.follow import follow, start, wait_for_dags
from sluice.orchestration.rest import Airflow
from sluice.settings import Settings

TRANSFORM = "transform"
"""The DAG that rebuilds the marts."""

Show = Callable[[str], None]
"""Takes a line for the person who waits."""


def run_loads(settings: Settings, streams: list[str] | None = None, show: Show = print) -> None:
    """Loads what the lake has into the warehouse, through Airflow, and returns when it is done.

    A load of the same stream that is running ends first; the new one then takes what the first had not seen.

    Args:
        settings: with the password of Airflow's user.
        streams: the streams to load; all of them by default.
        show: takes progress, line by line.

    Raises:
        TerminalError: there is no such stream, or a load failed.
        TransientError: Airflow does not answer.
    """
    chosen = choose_contracts(load_contracts(settings.contracts), streams)
    with airflow_client(settings) as airflow:
        run_dags(airflow, [contract.dag_id for contract in chosen], show)


def run_transform(settings: Settings, show: Show = print) -> None:
    """Rebuilds the marts of all stale dates, through Airflow, and returns when it is done.

    Raises:
        TerminalError: the transform failed.
        TransientError: Airflow does not answer.
    """
    with airflow_client(settings) as airflow:
        run_dags(airflow, [TRANSFORM], show)


def run_dags(airflow: Airflow, dag_ids: list[str], show: Show) -> None:
    """Triggers a run of each DAG and follows the runs to their end."""
    wait_for_dags(airflow, dag_ids)
    follow(airflow, [start(airflow, dag_id) for dag_id in dag_ids], show)


def choose_contracts(contracts: dict[str, Contract], streams: list[str] | None) -> list[Contract]:
    """Returns the contracts of the named streams; all of them where none is named.

    Raises:
        TerminalError: there is no such stream.
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
