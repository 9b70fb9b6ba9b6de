"""What has to be done once servers run, before others may use them. Every step may be repeated without harm."""

import threading
from collections.abc import Mapping

from sluice.contracts import Contract
from sluice.errors import TransientError
from sluice.lake.arrival import wait_for_lake
from sluice.lake.bucket import provision as make_bucket
from sluice.runtime import airflow
from sluice.runtime.commands import InterruptedRunError, LoggedError
from sluice.runtime.platform import Platform
from sluice.runtime.steps import Step
from sluice.topics import provision as make_topics
from sluice.warehouse.schema import provision as make_tables

LAKE_SECONDS = 600
"""How long the sink may take to bring what was replayed into the lake."""


def first_steps(platform: Platform, contracts: Mapping[str, Contract]) -> list[Step]:
    """Topics, bucket, warehouse and Airflow's metadata."""
    settings = platform.settings
    given = dict(contracts)

    def topics(_: threading.Event) -> str | None:
        created = make_topics(settings, given)
        if created and platform.supervisor.state("sink")["statename"] == "RUNNING":
            # It reads the list of its topics when it starts, which its own step does now.
            platform.supervisor.stop("sink")
        return f"{', '.join(created)} made" if created else None

    def lake(_: threading.Event) -> None:
        make_bucket(settings)

    def warehouse(_: threading.Event) -> None:
        make_tables(settings, given)

    def metadata(cancelled: threading.Event) -> str | None:
        return airflow.set_up(settings, settings.home / "logs" / "airflow-set-up.log", cancelled)

    return [
        Step("topics", topics, ("kafka",)),
        Step("lake", lake, ("minio",)),
        Step("warehouse", warehouse, ("postgres",)),
        Step("airflow metadata", metadata, ("warehouse",)),
    ]


def fill_lake(platform: Platform, contracts: Mapping[str, Contract], cancelled: threading.Event) -> int:
    """Waits until everything that Kafka holds now is in the lake; returns the number of events.

    Raises:
        LoggedError: the sink has not brought it in time.
    """

    def pause() -> None:
        if cancelled.wait(0.5):
            raise InterruptedRunError("the sink was still at work", "start it again")

    try:
        return wait_for_lake(platform.settings, contracts, LAKE_SECONDS, pause)
    except TransientError as error:
        raise LoggedError(error.what, platform.settings.home / "logs" / "sink.log") from error
