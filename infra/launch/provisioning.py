"""The provisioning steps between the servers and the services that use them. Every step is idempotent."""

import threading
from collections.abc import Callable, Mapping

from flights.live_view import schema as live_view
from infra.processes.steps import Report, Step
from infra.servers import airflow
from infra.servers.external import WAREHOUSE
from sluice.contracts import Contract
from sluice.errors import SluiceError
from sluice.kafka.topics import provision as provision_topics
from sluice.kafka.topics import refused_contracts as topics_refuse
from sluice.lake.bucket import provision as provision_bucket
from sluice.settings import Settings
from sluice.warehouse.roles import share_runs
from sluice.warehouse.schema import provision as provision_tables
from sluice.warehouse.schema import refused_contracts as tables_refuse


class Provisioning:
    """Provisions topics, bucket, warehouse and Airflow's metadata, for every contract that can be applied."""

    def __init__(self, settings: Settings, contracts: Mapping[str, Contract]) -> None:
        """Prepares the steps.

        Args:
            settings: with every secret.
            contracts: the valid ones, by stream.
        """
        self._settings = settings
        self._contracts = dict(contracts)
        self._refused: dict[str, SluiceError] = {}

    def steps(self, on_new_topics: Callable[[], None], report: Report) -> list[Step]:
        """Returns the steps.

        Args:
            on_new_topics: called if topics were created, for services that read the list of topics only on start.
            report: receives a line per change of an existing topic or table.
        """
        settings = self._settings

        def contracts(_: threading.Event) -> None:
            # Before the first change, so that a contract that cannot be applied is not applied to a half.
            for refused in (topics_refuse(settings, self._contracts), tables_refuse(settings, self._contracts)):
                for stream, error in refused.items():
                    self._refuse(stream, error)
            for line in self.warnings():
                report(line)

        def topics(_: threading.Event) -> str | None:
            result = provision_topics(settings, dict(self._contracts))
            for line in result.changes:
                report(line)
            if result.created:
                on_new_topics()
            return f"created {', '.join(result.created)}" if result.created else None

        def lake(_: threading.Event) -> None:
            provision_bucket(settings)

        def warehouse(_: threading.Event) -> str | None:
            migrated = provision_tables(settings, dict(self._contracts), report, self._refuse)
            live_view.provision(settings)
            return migrated

        def metadata(cancelled: threading.Event) -> str | None:
            result = airflow.migrate_metadata(settings, settings.home / "logs" / "airflow-set-up.log", cancelled)
            share_runs(settings)
            return result

        databases = ("postgres", WAREHOUSE) if settings.warehouse_host else ("postgres",)
        return [
            Step("contracts", contracts, ("kafka", *databases)),
            Step("topics", topics, ("contracts",)),
            Step("lake", lake, ("minio",)),
            Step("warehouse", warehouse, ("contracts",)),
            Step("airflow metadata", metadata, ("warehouse",)),
        ]

    def warnings(self) -> list[str]:
        """Returns a line for each contract that was not applied."""
        return [f"contract not applied, all others are: {stream}: {error}" for stream, error in self._refused.items()]

    def _refuse(self, stream: str, error: SluiceError) -> None:
        self._refused[stream] = error
        self._contracts.pop(stream, None)
