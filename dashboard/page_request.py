"""The input of a page builder."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from dashboard import queries
from dashboard.database import Connection, Reader
from dashboard.poller import Snapshot
from dashboard.queries import Stream
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
    servers: Mapping[str, str | None]
    """By server, why it counts as down; None while it is up."""
    settings: Settings

    @cached_property
    def streams(self) -> list[Stream]:
        """The streams in the warehouse."""
        return queries.streams(self.connection)
