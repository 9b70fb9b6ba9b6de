"""The sink's process on real servers: nothing is lost, nothing is duplicated."""

from collections.abc import Callable

import pyarrow.compute as pc
import pytest

from sluice.kafka import topics
from sluice.lake.reader import LakeReader
from tests.fixtures.servers import Stream


def _lake(stream: Stream) -> list[dict[str, object]]:
    rows = LakeReader(stream.settings, stream.name).rows(
        pc.scalar(True), ["partition", "offset", "value", "event_date"]
    )
    return list(rows.sort_by([("partition", "ascending"), ("offset", "ascending")]).to_pylist())


@pytest.mark.essential
def test_records_reach_the_lake_with_their_bytes(make_stream: Callable[..., Stream]) -> None:
    stream = make_stream(partitions=2)
    values: list[bytes | None] = [b'{"a": 1}', b"\x00\xff not JSON", b"", None, b"x" * 900_000]
    stream.send(values, partition=1)
    stream.land()
    rows = _lake(stream)
    assert [(row["partition"], row["offset"], row["value"]) for row in rows] == [
        (1, offset, value) for offset, value in enumerate(values)
    ]
    assert {str(row["event_date"]) for row in rows} == {"2013-01-01"}


@pytest.mark.essential
def test_two_sinks_share_the_partitions(make_stream: Callable[..., Stream]) -> None:
    stream = make_stream(partitions=4)
    sinks = [stream.start_sink(), stream.start_sink()]
    for round_ in range(5):
        for partition in range(4):
            stream.send([f"{round_ * 100 + n}".encode() for n in range(100)], partition=partition)
        if round_ == 2:
            stream.wait_for_lake()
            stream.stop_sink(sinks.pop())
    stream.wait_for_lake()
    stream.stop_sink(sinks.pop())
    rows = _lake(stream)
    assert [(row["partition"], row["offset"], row["value"]) for row in rows] == [
        (partition, offset, f"{offset}".encode()) for partition in range(4) for offset in range(500)
    ]


def _topic_names(stream: Stream) -> list[str]:
    with topics.admin(stream.settings) as admin:
        return list(admin.list_topics())
