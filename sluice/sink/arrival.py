"""Waiting until what Kafka holds at one moment has arrived in the lake."""

import time
from collections.abc import Callable, Iterable

from sluice.errors import TransientError
from sluice.kafka.topics import KafkaRange, kafka_ranges
from sluice.lake.layout import storage_options, table_uri
from sluice.lake.table import LakeTable
from sluice.settings import Settings


def wait_for_lake(settings: Settings, streams: Iterable[str], seconds: float, pause: Callable[[], None]) -> int:
    """Waits until everything that Kafka holds now is in the lake.

    Args:
        settings: where the servers are.
        streams: which ones.
        seconds: how long at most.
        pause: called between two looks; it may raise to give up.

    Returns:
        The number of events that Kafka holds.

    Raises:
        TransientError: it did not arrive in time, or a server does not answer.
        TerminalError: a topic does not exist, or the store refuses.
    """
    awaited = kafka_ranges(settings, list(streams))
    events = sum(each.end - each.start for each in awaited)
    options = storage_options(settings, "reader")
    tables = {each.stream: LakeTable(table_uri(settings, each.stream), options) for each in awaited}
    deadline = time.monotonic() + seconds
    fault: TransientError | None = None
    while awaited:
        try:
            awaited = _missing(tables, awaited)
            fault = None
        except TransientError as error:
            # The sink may be about to make the table, or the store to start.
            fault = error
        if awaited and time.monotonic() > deadline:
            if fault:
                raise fault
            places = ", ".join(f"{each.stream}/{each.partition}" for each in awaited)
            raise TransientError(f"the sink has not brought all into the lake ({places})", "see `make logs S=sink`")
        if awaited:
            pause()
    return events


def _missing(tables: dict[str, LakeTable], awaited: list[KafkaRange]) -> list[KafkaRange]:
    for stream in {each.stream for each in awaited}:
        tables[stream].open()
    return [each for each in awaited if tables[each.stream].next_offset(each.topic_id, each.partition) < each.end]
