"""The sink's process on real servers: nothing lost, nothing doubled."""

import signal
import subprocess
import time
from collections.abc import Callable

import pyarrow.compute as pc

from sluice.kafka import topics
from sluice.lake.reader import LakeReader
from tests.servers import Stream
from tests.waiting import wait


def _lake(stream: Stream) -> list[dict[str, object]]:
    rows = LakeReader(stream.settings, stream.name).rows(
        pc.scalar(True), ["partition", "offset", "value", "event_date"]
    )
    return list(rows.sort_by([("partition", "ascending"), ("offset", "ascending")]).to_pylist())


def test_records_land_with_their_bytes(make_stream: Callable[..., Stream]) -> None:
    stream = make_stream(partitions=2)
    values: list[bytes | None] = [b'{"a": 1}', b"\x00\xff not JSON", b"", None, b"x" * 900_000]
    stream.send(values, partition=1)
    stream.land()
    rows = _lake(stream)
    assert [(row["partition"], row["offset"], row["value"]) for row in rows] == [
        (1, offset, value) for offset, value in enumerate(values)
    ]
    assert {str(row["event_date"]) for row in rows} == {"2013-01-01"}


def test_a_killed_sink_loses_and_doubles_nothing(make_stream: Callable[..., Stream]) -> None:
    stream = make_stream(partitions=2)
    sent = 0
    for _ in range(3):
        sink = stream.start_sink()
        for partition in (0, 1):
            stream.send([f"{partition}:{sent + n}".encode() for n in range(500)], partition=partition)
        sent += 500
        time.sleep(0.5)
        sink.send_signal(signal.SIGKILL)
        sink.wait()
    stream.land()
    rows = _lake(stream)
    assert [(row["partition"], row["offset"], row["value"]) for row in rows] == [
        (partition, offset, f"{partition}:{offset}".encode()) for partition in (0, 1) for offset in range(sent)
    ]


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


def test_a_topic_that_was_made_again_starts_anew(make_stream: Callable[..., Stream]) -> None:
    stream = make_stream(partitions=1)
    stream.send([b"old"] * 3)
    stream.land()
    with topics.admin(stream.settings) as admin:
        admin.delete_topics([stream.name])
    wait("the topic's end", lambda: stream.name not in _topic_names(stream))
    topics.provision(stream.settings, {stream.name: stream.contract})
    stream.send([b"new"] * 2)
    stream.land()
    assert sorted(str(row["value"]) for row in _lake(stream)) == ["b'new'"] * 2 + ["b'old'"] * 3


def test_offsets_that_kafka_deleted_stop_the_sink_with_one_line(make_stream: Callable[..., Stream]) -> None:
    from kafka import TopicPartition

    stream = make_stream(partitions=1)
    stream.send([b"x"] * 10)
    with topics.admin(stream.settings) as admin:
        admin.delete_records({TopicPartition(stream.name, 0): 4})
    sink = subprocess.run(stream.SINK, env=stream.environment, capture_output=True, text=True, timeout=60, check=False)
    assert sink.returncode == 1
    message = sink.stderr.strip().splitlines()[-1]
    assert message.startswith("sluice sink: ")
    assert f"{stream.name}/0: offsets 0 to 3 are lost" in message
    assert "Traceback" not in sink.stderr


def _topic_names(stream: Stream) -> list[str]:
    with topics.admin(stream.settings) as admin:
        return list(admin.list_topics())
