"""What has to be done once servers run, before others may use them. Every step may be repeated without harm."""

import threading
from collections.abc import Callable, Mapping

from flights.live_view import schema as live_view
from infra.processes.steps import Step
from infra.servers import airflow
from sluice.contracts import Contract
from sluice.kafka.topics import provision as make_topics
from sluice.lake.bucket import provision as make_bucket
from sluice.settings import Settings
from sluice.warehouse.schema import provision as make_tables
from sluice.warehouse.schema import share_runs


def first_steps(settings: Settings, contracts: Mapping[str, Contract], on_new_topics: Callable[[], None]) -> list[Step]:
    """Topics, bucket, warehouse and Airflow's metadata.

    Args:
        settings: with every secret.
        contracts: by stream.
        on_new_topics: called when topics were made, for those who know their topics from when they started.
    """
    given = dict(contracts)

    def topics(_: threading.Event) -> str | None:
        created = make_topics(settings, given)
        if created:
            on_new_topics()
        return f"{', '.join(created)} made" if created else None

    def lake(_: threading.Event) -> None:
        make_bucket(settings)

    def warehouse(_: threading.Event) -> None:
        make_tables(settings, given)
        live_view.provision(settings)

    def metadata(cancelled: threading.Event) -> str | None:
        done = airflow.set_up(settings, settings.home / "logs" / "airflow-set-up.log", cancelled)
        share_runs(settings)
        return done

    return [
        Step("topics", topics, ("kafka",)),
        Step("lake", lake, ("minio",)),
        Step("warehouse", warehouse, ("postgres",)),
        Step("airflow metadata", metadata, ("warehouse",)),
    ]
