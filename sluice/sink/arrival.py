"""Waits until everything that Kafka holds at one moment has arrived in the lake."""

import time
from collections.abc import Callable, Mapping

from sluice.errors import TransientError
from sluice.kafka.topics import KafkaRange, kafka_ranges
from sluice.lake.layout import storage_options, table_uri
from sluice.lake.table import LakeTable
from sluice.settings import Settings


def wait_for_lake(settings: Settings, topics: Mapping[str, str], seconds: float, pause: Callable[[], None]) -> int:
    """Waits until everything that Kafka holds now is in the lake.

    Args:
        settings: the addresses of the servers.
        topics: the name of the topic of each stream to wait for.
        seconds: the timeout.
        pause: called between two checks; may raise to give up.

    Returns:
        The number of offsets that Kafka holds.

    Raises:
        TransientError: the events did not arrive in time, or a server is down.
        TerminalError: a topic does not exist, or the store rejects a request.
    """
    pending = kafka_ranges(settings, topics)
    events = sum(kafka_range.end - kafka_range.start for kafka_range in pending)
    options = storage_options(settings, "reader")
    tables = {
        kafka_range.stream: LakeTable(table_uri(settings, kafka_range.stream), options) for kafka_range in pending
    }
    deadline = time.monotonic() + seconds
    last_error: TransientError | None = None
    while pending:
        try:
            pending = _not_in_lake(tables, pending)
            last_error = None
        except TransientError as error:
            # The sink may not have created the table yet, or the store may be starting.
            last_error = error
        if pending and time.monotonic() > deadline:
            if last_error:
                raise last_error
            partitions = ", ".join(f"{kafka_range.stream}/{kafka_range.partition}" for kafka_range in pending)
            raise TransientError(
                f"the sink has not written all events to the lake within {seconds:.0f} s: {partitions}",
                "run `make logs S=sink`",
            )
        if pending:
            pause()
    return events


def _not_in_lake(tables: dict[str, LakeTable], pending: list[KafkaRange]) -> list[KafkaRange]:
    for stream in {kafka_range.stream for kafka_range in pending}:
        tables[stream].open()
    return [
        kafka_range
        for kafka_range in pending
        if tables[kafka_range.stream].next_offset(kafka_range.topic_id, kafka_range.partition) < kafka_range.end
    ]
