"""The loop's decisions: when a stream is committed, what happens when that fails, what is held, what is healthy."""

from collections.abc import Iterable, Sequence

import pytest

from infra.servers import probes
from sluice.errors import TerminalError, TransientError
from sluice.lake.chunk import Chunk, record_columns
from sluice.lake.table import Appended
from sluice.settings import LOOPBACK
from sluice.sink.metrics import serve
from sluice.sink.sink import FlushPolicy, Records, Sink, TopicPartition

SMALL, LARGE = TopicPartition("small.stream", 0), TopicPartition("large.stream", 0)


class Source:
    """Gives what the test puts in."""

    def __init__(self) -> None:
        self.coming: list[Records] = []
        self.paused: list[bool] = []
        self.known: dict[TopicPartition, int] = {}
        self.topic: str | None = "id"

    def put(self, place: TopicPartition, first: int, count: int, size: int = 10) -> None:
        nothing = [None] * count
        values = [b"x" * size] * count
        rows = record_columns("id", place.partition, range(first, first + count), [0] * count, nothing, values, nothing)
        self.coming.append(Records(place, rows, first + count))
        self.known[place] = first + count

    def poll(self, timeout: float) -> Sequence[Records]:
        coming, self.coming = self.coming, []
        return coming

    def seek(self, place: TopicPartition, offset: int) -> None:
        raise AssertionError("nobody took anything over")

    def commit_offsets(self, heads: dict[TopicPartition, int]) -> None:
        pass

    def pause(self) -> None:
        self.paused.append(True)

    def resume(self) -> None:
        self.paused.append(False)

    def high_watermarks(self, places: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        return self.known

    def topic_id(self, stream: str) -> str | None:
        return self.topic


class Table:
    """Remembers what was committed; fails while it is told to."""

    def __init__(self, name: str, order: list[str]) -> None:
        self.name = name
        self.order = order
        self.broken = False
        self.attempts = 0

    def next_offset(self, topic_id: str, partition: int) -> int:
        return 0

    def append(self, chunks: Sequence[Chunk]) -> Appended:
        self.attempts += 1
        if self.broken:
            raise TransientError("the store is down")
        self.order.append(self.name)
        return Appended(1, committed=list(chunks))


class Loop:
    """A sink over fakes, with a clock that the test moves."""

    def __init__(self, limits: FlushPolicy) -> None:
        self.now = 100.0
        self.order: list[str] = []
        self.source = Source()
        self.tables = {place.stream: Table(place.stream, self.order) for place in (SMALL, LARGE)}
        self.sink = Sink(self.source, self.tables, lambda: self.now, limits)
        self.sink.assigned({SMALL: "id", LARGE: "id"})

    def step(self, seconds: float = 0.0) -> None:
        self.now += seconds
        self.sink.step()


@pytest.fixture
def loop() -> Loop:
    return Loop(FlushPolicy(age=10, batch_bytes=10_000, budget_bytes=50_000, stall=60))


def test_the_last_record_of_an_idle_stream_is_committed_within_the_age_limit(loop: Loop) -> None:
    loop.source.put(SMALL, 0, 1)
    loop.step()
    loop.step(9.9)
    assert loop.order == []
    loop.step(0.2)
    assert loop.order == ["small.stream"]


def test_a_full_batch_is_committed_at_once_and_the_largest_first(loop: Loop) -> None:
    loop.source.put(SMALL, 0, 110, 100)
    loop.source.put(LARGE, 0, 200, 100)
    loop.step()
    assert loop.order == ["large.stream", "small.stream"]


def test_a_failed_commit_is_tried_again_later_and_later_and_loses_nothing(loop: Loop) -> None:
    table = loop.tables["small.stream"]
    table.broken = True
    loop.source.put(SMALL, 0, 200, 100)
    loop.step()
    assert table.attempts == 1
    loop.step(0.4)
    assert table.attempts == 1
    loop.step(0.2)
    loop.step(0.9)
    assert table.attempts == 2
    loop.step(0.2)
    assert table.attempts == 3
    table.broken = False
    loop.step(5)
    assert loop.order == ["small.stream"]
    assert loop.sink.metrics.registry.get_sample_value("sluice_sink_retries_total", {"stream": "small.stream"}) == 3
    assert loop.sink.metrics.registry.get_sample_value("sluice_sink_events_total", {"stream": "small.stream"}) == 200


def test_reading_is_held_beyond_the_budget_and_goes_on_after_the_commit(loop: Loop) -> None:
    loop.tables["large.stream"].broken = True
    loop.source.put(LARGE, 0, 600, 100)
    loop.step()
    assert loop.source.paused == [True]
    loop.tables["large.stream"].broken = False
    loop.step(1)
    assert loop.source.paused == [True, False]


def test_health_and_lag_tell_standing_still_from_coming_nearer(loop: Loop) -> None:
    table = loop.tables["small.stream"]
    table.broken = True
    loop.source.put(SMALL, 0, 5)
    for _ in range(59):
        loop.step(1)
    assert loop.sink.health() is None
    loop.step(15)
    assert (loop.sink.health() or "").startswith("small.stream/0: no progress for ")
    labels = {"stream": "small.stream", "partition": "0"}
    assert loop.sink.metrics.registry.get_sample_value("sluice_sink_lag_offsets", labels) == 5
    table.broken = False
    loop.step(20)
    assert loop.sink.health() is None
    loop.step(1)
    assert loop.sink.metrics.registry.get_sample_value("sluice_sink_lag_offsets", labels) == 0
    assert loop.sink.metrics.registry.get_sample_value("sluice_sink_lag_seconds", labels) == 0


def test_a_loop_that_stands_still_is_not_healthy(loop: Loop) -> None:
    loop.now += 61
    assert loop.sink.health() == "the loop stands still for 61 s"


def test_metrics_and_health_are_served(loop: Loop) -> None:
    missing: list[str] = []
    server = serve(LOOPBACK, 0, loop.sink.metrics, lambda: missing[0] if missing else None)
    try:
        port = server.server_port
        loop.source.put(SMALL, 0, 3)
        loop.step(11)
        loop.step(11)
        assert b'sluice_sink_events_total{stream="small.stream"} 3.0' in probes.http_get(LOOPBACK, port, "/metrics")[1]
        assert probes.http_ok(LOOPBACK, port, "/health") is None
        missing.append("it stands still")
        assert probes.http_get(LOOPBACK, port, "/health") == (503, b"it stands still\n")
    finally:
        server.shutdown()
        server.server_close()


def test_offsets_that_hold_no_record_at_a_partitions_end_are_committed_as_progress(loop: Loop) -> None:
    loop.source.put(SMALL, 0, 0)
    loop.source.coming[-1] = Records(SMALL, loop.source.coming[-1].rows, 7)
    loop.step()
    loop.step(10)
    assert loop.order == ["small.stream"]
    assert loop.sink.health() is None


def test_records_of_a_topic_that_was_made_again_are_not_committed_as_those_of_the_old_one(loop: Loop) -> None:
    loop.source.put(SMALL, 0, 5)
    loop.step()
    loop.source.topic = "another"
    with pytest.raises(TerminalError, match="created again"):
        loop.step(10)
    assert loop.order == []


def test_records_of_a_topic_that_is_gone_are_committed(loop: Loop) -> None:
    loop.source.put(SMALL, 0, 5)
    loop.source.topic = None
    loop.step()
    loop.step(10)
    assert loop.order == ["small.stream"]
