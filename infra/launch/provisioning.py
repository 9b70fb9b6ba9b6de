"""The provisioning steps between the servers and the services that use them. Every step is idempotent."""

import threading
from collections.abc import Callable, Mapping

from flights.live_view import schema as live_view
from infra.processes.environment import shell_environment
from infra.processes.steps import Report, Step
from infra.servers import airflow
from infra.servers.external import WAREHOUSE
from sluice.contracts import Contract
from sluice.errors import SluiceError
from sluice.kafka.topics import provision as provision_topics
from sluice.kafka.topics import refused_contracts as topics_refuse
from sluice.lake.bucket import provision as provision_bucket
from sluice.lake.bucket import provision_lakehouse
from sluice.registry.provisioning import schema_warnings
from sluice.removed.remains import all_remains
from sluice.settings import Settings
from sluice.transform.dbt import Dbt
from sluice.transform.packages import update_packages
from sluice.warehouse.roles import provision_own_server, share_runs
from sluice.warehouse.schema import provision as provision_tables
from sluice.warehouse.schema import refused_contracts as tables_refuse

REMOVED = "removed contracts"
"""The step that lists what streams without a contract leave behind."""


class Provisioning:
    """Provisions topics, buckets, warehouse and Airflow's metadata, for every contract that can be applied."""

    def __init__(self, settings: Settings, contracts: Mapping[str, Contract], spark: bool = False) -> None:
        """Prepares the steps.

        Args:
            settings: with every secret.
            contracts: all contracts of the folder.
            spark: whether Spark runs, which writes to a bucket of its own.
        """
        self._settings = settings
        self._known = contracts
        self._spark = spark
        self._contracts = dict(contracts)
        self._removed: list[str] = []
        self._refused: dict[str, SluiceError] = {}
        self._schema_warnings: list[str] = []
        self._packages_error: SluiceError | None = None

    def steps(self, on_other_topics: Callable[[], None], report: Report) -> list[Step]:
        """Returns the steps.

        Args:
            on_other_topics: called if topics were created, or are still read without a contract, for services that read
                the list of topics only on start.
            report: receives a line per change of an existing topic or table.
        """
        settings = self._settings

        def contracts(_: threading.Event) -> None:
            # Before the first change, so that a contract that cannot be applied is not applied to a half.
            for refused in (topics_refuse(settings, self._contracts), tables_refuse(settings, self._contracts)):
                for stream, error in refused.items():
                    self._refuse(stream, error)
            self._schema_warnings = schema_warnings(settings, self._contracts.values())
            for line in self.warnings():
                report(line)

        def topics(_: threading.Event) -> str | None:
            result = provision_topics(settings, dict(self._contracts))
            for line in result.changes:
                report(line)
            if result.created:
                on_other_topics()
            return f"created {', '.join(result.created)}" if result.created else None

        def lake(_: threading.Event) -> None:
            provision_bucket(settings)

        def lakehouse(_: threading.Event) -> None:
            provision_lakehouse(settings)

        def warehouse(_: threading.Event) -> str | None:
            migrated = provision_tables(settings, dict(self._contracts), report, self._refuse)
            live_view.provision(settings)
            return migrated

        def removed(_: threading.Event) -> None:
            found = all_remains(settings, self._known)
            self._removed = [remains.text() for remains in found]
            for line in self._removed:
                report(line)
            if any(remains.readers for remains in found):
                on_other_topics()

        def packages(_: threading.Event) -> str | None:
            dbt = Dbt(settings, lambda _: None)
            try:
                return "installed" if update_packages(dbt, shell_environment()) else None
            except SluiceError as error:
                self._packages_error = error
                return None

        def metadata(cancelled: threading.Event) -> str | None:
            # Airflow waits neither for Kafka nor for contracts.
            provision_own_server(settings)
            result = airflow.migrate_metadata(settings, settings.home / "logs" / "airflow-set-up.log", cancelled)
            share_runs(settings)
            return result

        databases = ("postgres", WAREHOUSE) if settings.warehouse_host else ("postgres",)
        return [
            Step("contracts", contracts, ("kafka", *databases)),
            Step("topics", topics, ("contracts",)),
            Step("lake", lake, ("minio",)),
            *([Step("lakehouse", lakehouse, ("minio",))] if self._spark else []),
            Step("warehouse", warehouse, ("contracts",)),
            Step(REMOVED, removed, ("topics", "lake", "warehouse")),
            Step("airflow metadata", metadata, ("postgres",)),
            Step("dbt packages", packages),
        ]

    def warnings(self) -> list[str]:
        """Returns a line for each contract that was not applied or was removed, and each column that a schema lacks.

        Another line says that dbt's packages were not installed, if so.
        """
        refused = [
            f"contract not applied, all others are: {stream}: {error}" for stream, error in self._refused.items()
        ]
        packages = [f"warning: {self._packages_error}"] if self._packages_error else []
        return [*refused, *self._schema_warnings, *self._removed, *packages]

    def _refuse(self, stream: str, error: SluiceError) -> None:
        self._refused[stream] = error
        self._contracts.pop(stream, None)
