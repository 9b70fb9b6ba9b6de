"""The event time that arrives now: that of the last records, not the newest of all."""

from collections.abc import Callable
from datetime import UTC, datetime

from sluice.kafka.last_record import last_timestamp
from sluice.kafka.topics import kafka_ranges
from tests.fixtures.servers import Stream

JUNE, FEBRUARY = datetime(2013, 6, 1, tzinfo=UTC), datetime(2013, 2, 1, tzinfo=UTC)


def test_the_last_record_counts_also_if_an_earlier_one_is_newer(make_stream: Callable[..., Stream]) -> None:
    stream = make_stream(partitions=2)
    stream.send([b"{}", b"{}"], timestamp_ms=int(JUNE.timestamp() * 1_000))
    stream.send([b"{}"], timestamp_ms=int(FEBRUARY.timestamp() * 1_000))

    def ends(partition: int) -> dict[tuple[str, int], int]:
        ranges = kafka_ranges(stream.settings, stream.topics)
        return {(found.topic, found.partition): found.end for found in ranges if found.partition == partition}

    assert last_timestamp(stream.settings, ends(0)) == FEBRUARY
    stream.send([b"{}"], timestamp_ms=int(JUNE.timestamp() * 1_000), partition=1)
    assert last_timestamp(stream.settings, ends(0) | ends(1)) == JUNE
