"""What has to be done once servers run, before others may use them. Every step may be repeated without harm."""

import threading
import time
from collections.abc import Mapping

from sluice.contracts import Contract
from sluice.errors import SluiceError
from sluice.lake.bucket import provision as make_bucket
from sluice.lake.layout import storage_options, table_uri
from sluice.lake.table import LakeTable
from sluice.runtime import airflow
from sluice.runtime.commands import InterruptedRunError, LoggedError
from sluice.runtime.platform import Platform
from sluice.runtime.steps import Step
from sluice.topics import kafka_ranges
from sluice.topics import provision as make_topics
from sluice.warehouse.schema import provision as make_tables

TABLE_SECONDS = 60
"""How long the sink may take after its start to make the lake's tables."""
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


def wait_for_lake(platform: Platform, contracts: Mapping[str, Contract], cancelled: threading.Event) -> int:
    """Waits until everything that Kafka holds now is in the lake.

    Returns:
        The number of records that the partitions hold, over all topics.

    Raises:
        SluiceError: the sink has not brought it within ten minutes, or the lake cannot be read.
    """
    settings = platform.settings
    left = kafka_ranges(settings, list(contracts))
    records = sum(each.end - each.start for each in left)
    options = storage_options(settings, "reader")
    tables = {stream: LakeTable(table_uri(settings, stream), options) for stream in contracts}
    deadline = time.monotonic() + LAKE_SECONDS
    _until_made(tables, cancelled)
    while left:
        for stream in {each.stream for each in left}:
            tables[stream].open()
        left = [each for each in left if tables[each.stream].head(each.topic_id, each.partition) < each.end]
        if not left:
            break
        if time.monotonic() > deadline:
            missing = ", ".join(f"{each.stream}/{each.partition}" for each in left)
            raise LoggedError(
                f"the sink has not brought all into the lake ({missing})", settings.home / "logs" / "sink.log"
            )
        if cancelled.wait(0.5):
            raise InterruptedRunError("the sink was still at work", "start it again")
    return records


def _until_made(tables: Mapping[str, LakeTable], cancelled: threading.Event) -> None:
    deadline = time.monotonic() + TABLE_SECONDS
    for table in tables.values():
        while True:
            try:
                table.open()
                break
            except SluiceError:
                if time.monotonic() > deadline:
                    raise
            if cancelled.wait(0.5):
                raise InterruptedRunError("the sink was still starting", "start it again")
