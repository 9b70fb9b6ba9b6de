"""The contestants: the command, the share of the input and the start-up marker of each."""

import math
import sys
from collections.abc import Callable
from pathlib import Path

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from bench.measure import Contestant
from bench.servers import KAFKA_TOOLS, PYTHON, STREAM
from bench.sink import iceberg
from bench.sink.contestants.iceberg import STARTED
from bench.sink.contestants.spec import READING, Spec
from infra.servers import kafka, toolchains
from sluice.kafka import topics
from sluice.lake.layout import storage_options, table_uri, transaction_id
from sluice.settings import Settings


def _module(name: str, *arguments: str, python: str | Path = sys.executable) -> Callable[[Spec], list[str | Path]]:
    return lambda _: [python, "-m", f"bench.sink.contestants.{name}", *arguments]


def _perf(spec: Spec) -> list[str | Path]:
    options = [f"--bootstrap-server={spec.kafka}", f"--topic={spec.topic}", f"--group={spec.group}"]
    classes = f"{KAFKA_TOOLS}/*:{kafka.JARS}/*"
    tool = "org.apache.kafka.tools.ConsumerPerformance"
    return [toolchains.java(), "-Xmx512m", "-cp", classes, tool, *options, f"--num-records={spec.events}"]


SLUICE = Contestant(
    "sluice", "this sink, full guarantee", 1, lambda _: [sys.executable, "-m", "sluice.sink"], "assigned"
)
ICEBERG = Contestant(
    "iceberg",
    "Kafka Connect, Iceberg sink, commit every 10 s, no dates",
    1,
    _module("iceberg"),
    STARTED,
)
LINEUP = [
    SLUICE,
    ICEBERG,
    Contestant(
        "quix_parquet", "quixstreams S3 file sink, Parquet", 0.1, _module("quix", "parquet", python=PYTHON), READING
    ),
    Contestant("quix_json", "quixstreams S3 file sink, JSON gz", 0.1, _module("quix", "json", python=PYTHON), READING),
    Contestant("delta_plain", "deltalake's writer, no dates, no transactions", 1, _module("delta_plain"), READING),
    Contestant("naive", "naive loop, one put per 1,000", 0.05, _module("naive"), READING),
    Contestant("limit", "confluent-kafka with its defaults, discard", 1, _module("limit"), READING),
    Contestant(
        "limit_tuned",
        "upper bound: confluent-kafka with the sink's queue setting, discard",
        1,
        _module("limit", "tuned"),
        READING,
    ),
    Contestant("perf", "Kafka's ConsumerPerformance, discard", 1, _perf, None),
]
DISCARDING = ("limit", "limit_tuned", "perf")
"""The contestants that write nothing."""
ENDLESS = (SLUICE.name, ICEBERG.name)
"""The contestants that read until they are terminated."""


def all_committed(settings: Settings) -> Callable[[], bool]:
    """Returns a check of whether the lake has every record of the topic."""
    end_offsets = {
        transaction_id(partition.topic_id, partition.partition): partition.end
        for partition in topics.kafka_ranges(settings, {STREAM: STREAM})
    }
    tables: list[DeltaTable] = []

    def check() -> bool:
        try:
            if tables:
                tables[0].update_incremental()
            else:
                tables.append(
                    DeltaTable(table_uri(settings, STREAM), storage_options=storage_options(settings, "reader"))
                )
        except (DeltaError, OSError):
            return False
        return all(tables[0].transaction_version(name) == end for name, end in end_offsets.items())

    return check


def finished(
    contestant: Contestant[Spec], settings: Settings, spec: Spec, *, was_killed: bool = False
) -> Callable[[], bool] | None:
    """Returns the check of whether a contestant has written everything; None for one that exits by itself.

    Iceberg's sink is run again after a kill until it has committed nothing for two minutes: it may have lost events.
    """
    if contestant is SLUICE:
        return all_committed(settings)
    if contestant is ICEBERG:
        return iceberg.committed(settings, spec, idle=120 if was_killed else math.inf)
    return None
