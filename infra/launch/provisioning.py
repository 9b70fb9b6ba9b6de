"""The provisioning steps between the servers and the services that use them. Every step is idempotent."""

import threading
from collections.abc import Callable, Mapping

from flights.live_view import schema as live_view
from infra.processes.steps import Step
from infra.servers import airflow
from sluice.contracts import Contract
from sluice.kafka.topics import provision as provision_topics
from sluice.lake.bucket import provision as provision_bucket
from sluice.settings import Settings
from sluice.warehouse.roles import share_runs
from sluice.warehouse.schema import provision as provision_tables


def provisioning_steps(
    settings: Settings, contracts: Mapping[str, Contract], on_new_topics: Callable[[], None]
) -> list[Step]:
    """Returns the steps that provision topics, bucket, warehouse and Airflow's metadata.

    Args:
        settings: with every secret.
        contracts: by stream.
        on_new_topics: called if topics were created, for services that read the list of topics only on start.
    """
    by_stream = dict(contracts)

    def topics(_: threading.Event) -> str | None:
        created = provision_topics(settings, by_stream)
        if created:
            on_new_topics()
        return f"created {', '.join(created)}" if created else None

    def lake(_: threading.Event) -> None:
        provision_bucket(settings)

    def warehouse(_: threading.Event) -> str | None:
        migrated = provision_tables(settings, by_stream)
        live_view.provision(settings)
        return migrated

    def metadata(cancelled: threading.Event) -> str | None:
        result = airflow.migrate_metadata(settings, settings.home / "logs" / "airflow-set-up.log", cancelled)
        share_runs(settings)
        return result

    return [
        Step("topics", topics, ("kafka",)),
        Step("lake", lake, ("minio",)),
        Step("warehouse", warehouse, ("postgres",)),
        Step("airflow metadata", metadata, ("warehouse",)),
    ]
