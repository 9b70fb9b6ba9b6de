"""The input of a page builder."""

from collections.abc import Mapping
from dataclasses import dataclass

from dashboard.database import Connection, Reader
from dashboard.poller import Snapshot
from sluice.settings import Settings


@dataclass(frozen=True)
class PageRequest:
    """Everything that a page is built from."""

    connection: Connection
    """To the warehouse, as its reader."""
    airflow: Reader
    """Of Airflow's own database."""
    parameters: Mapping[str, str]
    """The query parameters of the URL."""
    snapshot: Snapshot
    settings: Settings
