"""The loop's decisions: when to commit a stream, how to retry, when to pause consumption, and what is healthy."""

import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

import pytest

from infra.servers import probes
from sluice.errors import TerminalError, TransientError
from sluice.lake.chunk import Chunk, record_columns
from sluice.lake.table import AppendResult
from sluice.service.endpoint import serve
from sluice.settings import LOOPBACK, Settings
from sluice.sink import HALTED_PATH
from sluice.sink.__main__ import run
from sluice.sink.flush_policy import FlushPolicy
from sluice.sink.protocols import Records, TopicPartition
from sluice.sink.sink import Sink
from tests.fixtures.ports import free_ports
from tests.fixtures.waiting import wait

SMALL, LARGE = TopicPartition("small.stream", 0), TopicPartition("large.stream", 0)


class Source:
    """A source that returns the records that the test puts in."""

    def __init__(self) -> None:
        self.pending: list[Records] = []
        self.paused: set[TopicPartition] = set()
        self.ends: dict[TopicPartition, int] = {}
        self.topic: str | None = "id"
        self.unreadable: dict[TopicPartition, str] = {}
        self.assigned: dict[TopicPartition, int | None] = {}

    def put(self, topic_partition: TopicPartition, start: int, count: int, size: int = 10) -> None:
        nulls = [None] * count
        values = [b"x" * size] * count
        rows = record_columns(
            "id", topic_partition.partition, range(start, start + count), [0] * count, nulls, values, nulls
        )
        self.pending.append(Records(topic_partition, rows, start + count))
        self.ends[topic_partition] = start + count

    def poll(self, timeout: float) -> Sequence[Records]:
        pending, self.pending = self.pending, []
        return pending

    def seek(self, topic_partition: TopicPartition, offset: int) -> None:
        raise AssertionError("no partition was fenced")

    def commit_offsets(self, next_offsets: dict[TopicPartition, int]) -> None:
        pass

    def check(self, topic_partition: TopicPartition, topic_id: str, next_offset: int, last_record: int) -> None:
        if topic_partition in self.unreadable:
            raise TerminalError(self.unreadable[topic_partition], "do something")

    def assign(self, next_offsets: Mapping[TopicPartition, int | None]) -> None:
        self.assigned |= next_offsets
        # Kafka forgets that a partition was paused when it is assigned again.
        self.paused -= next_offsets.keys()

    def pause(self, topic_partitions: Collection[TopicPartition]) -> None:
        self.paused |= set(topic_partitions)

    def resume(self, topic_partitions: Collection[TopicPartition]) -> None:
        self.paused -= set(topic_partitions)

    def high_watermarks(self, topic_partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        return self.ends

    def topic_id(self, stream: str) -> str | None:
        return self.topic


class Table:
    """A table that records its commits, and fails while ``broken`` is set."""

    def __init__(self, name: str, order: list[str]) -> None:
        self.name = name
        self.order = order
        self.broken = False
        self.attempts = 0
        self.head = 0

    def open(self) -> None:
        if self.broken:
            raise TransientError("the store is down")

    def next_offset(self, topic_id: str, partition: int) -> int:
        return self.head

    def last_record(self, topic_id: str, partition: int) -> int:
        return 0

    def append(self, chunks: Sequence[Chunk]) -> AppendResult:
        self.attempts += 1
        if self.broken:
            raise TransientError("the store is down")
        self.order.append(self.name)
        return AppendResult(1, committed=list(chunks))


class Loop:
    """A sink over fakes, with a clock that the test advances."""

    def __init__(self, policy: FlushPolicy) -> None:
        self.now = 100.0
        self.order: list[str] = []
        self.source = Source()
        self.tables = {
            topic_partition.stream: Table(topic_partition.stream, self.order) for topic_partition in (SMALL, LARGE)
        }
        self.sink = Sink(self.source, self.tables, lambda: self.now, policy)
        self.sink.assigned({SMALL: "id", LARGE: "id"})

    def step(self, seconds: float = 0.0) -> None:
        self.now += seconds
        self.sink.step()

    def read_empty_topics(self) -> None:
        self.source.ends = {SMALL: 0, LARGE: 0}
        self.step()


@pytest.fixture
def loop() -> Loop:
    return Loop(FlushPolicy(age=10, batch_bytes=10_000, budget_bytes=50_000, stall=60))


def test_the_last_record_of_an_idle_stream_is_committed_within_the_age_limit(loop: Loop) -> None:
    loop.read_empty_topics()
    loop.source.put(SMALL, 0, 1)
    loop.step()
    loop.step(9.9)
    assert loop.order == []
    loop.step(0.2)
    assert loop.order == ["small.stream"]


def test_what_has_waited_in_kafka_is_committed_once_it_is_read_and_not_before(loop: Loop) -> None:
    loop.source.put(SMALL, 0, 5)
    loop.source.ends[SMALL] = 10
    loop.step()
    assert loop.order == []
    loop.source.put(SMALL, 5, 5)
    loop.step()
    assert loop.order == ["small.stream"]
    loop.source.put(SMALL, 10, 5)
    loop.step()
    assert loop.order == ["small.stream"]


def test_full_batches_are_committed_at_once_largest_first(loop: Loop) -> None:
    loop.source.put(SMALL, 0, 110, 100)
    loop.source.put(LARGE, 0, 200, 100)
    loop.step()
    assert loop.order == ["large.stream", "small.stream"]


def test_a_failed_commit_is_retried_with_backoff_and_loses_nothing(loop: Loop) -> None:
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


def test_consumption_pauses_beyond_the_budget_and_resumes_after_the_commit(loop: Loop) -> None:
    loop.tables["large.stream"].broken = True
    loop.source.put(LARGE, 0, 600, 100)
    loop.step()
    assert loop.source.paused == {SMALL, LARGE}
    loop.tables["large.stream"].broken = False
    loop.step(1)
    assert loop.source.paused == set()


def test_health_and_lag_report_a_stuck_partition_and_its_recovery(loop: Loop) -> None:
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


def test_under_steady_traffic_the_lag_is_that_of_a_few_commits_until_the_store_is_down(loop: Loop) -> None:
    labels = {"stream": "small.stream", "partition": "0"}

    def run(seconds: int) -> float:
        # Whenever the sink looks, Kafka has one more record than the sink has read.
        for _ in range(seconds):
            loop.source.put(SMALL, offset[0], 5)
            offset[0] += 5
            loop.source.ends[SMALL] = offset[0] + 1
            loop.step(1)
        lag = loop.sink.metrics.registry.get_sample_value("sluice_sink_lag_seconds", labels)
        assert lag is not None
        return lag

    offset = [0]
    assert 0 < run(300) <= 40
    loop.tables["small.stream"].broken = True
    assert run(300) >= 300
    loop.tables["small.stream"].broken = False
    assert run(60) <= 40


def test_a_stuck_loop_is_unhealthy(loop: Loop) -> None:
    loop.now += 61
    assert loop.sink.health() == "no loop iteration for 61 s"


def test_a_sink_whose_store_is_down_is_alive_until_its_loop_hangs(loop: Loop) -> None:
    loop.tables["small.stream"].broken = True
    loop.source.put(SMALL, 0, 5)
    for _ in range(50):
        loop.step(15)
    assert loop.sink.health() is not None
    assert loop.sink.liveness() is None
    # One request that is retried for minutes.
    loop.now += 220
    assert loop.sink.liveness() is None
    loop.now += 100
    assert loop.sink.liveness() == "one call has taken 320 s"


def test_metrics_health_and_liveness_are_served(loop: Loop) -> None:
    problems: list[str] = []
    halted: list[str] = []
    checks = {
        "/health": lambda: problems[0] if problems else None,
        "/live": lambda: None,
        HALTED_PATH: lambda: halted[0] if halted else None,
    }
    server = serve(LOOPBACK, 0, "SLUICE_SINK_PORT", loop.sink.metrics.registry, checks)
    try:
        port = server.server_port
        loop.source.put(SMALL, 0, 3)
        loop.step(11)
        loop.step(11)
        assert b'sluice_sink_events_total{stream="small.stream"} 3.0' in probes.http_get(LOOPBACK, port, "/metrics")[1]
        assert probes.http_ok(LOOPBACK, port, "/health") is None
        settings = Settings(sink_host=LOOPBACK, sink_port=port)
        assert probes.sink_notice(settings) is None
        halted.append("s/0: Kafka ends at 3")
        assert probes.http_ok(LOOPBACK, port, "/health") is None
        assert probes.sink_notice(settings) == "s/0: Kafka ends at 3"
        problems.append("no progress")
        assert probes.http_get(LOOPBACK, port, "/health") == (503, b"no progress\n")
        assert probes.http_ok(LOOPBACK, port, "/live") is None
    finally:
        server.shutdown()
        server.server_close()


def test_a_sink_without_any_contract_is_well_and_reads_nothing(tmp_path: Path) -> None:
    # No server runs: it asks none.
    (port,) = free_ports(1)
    settings = Settings(contracts=tmp_path, sink_host=LOOPBACK, sink_port=port)
    stopping = threading.Event()
    sink = threading.Thread(target=run, args=(settings, stopping), daemon=True)
    sink.start()
    try:
        wait("the sink to serve", lambda: probes.http_ok(LOOPBACK, port, "/health") is None)
        assert probes.sink_notice(settings) is None
    finally:
        stopping.set()
        sink.join(10)
    assert not sink.is_alive()


def test_offsets_without_a_record_at_a_partitions_end_are_committed_as_progress(loop: Loop) -> None:
    loop.source.put(SMALL, 0, 0)
    loop.source.pending[-1] = Records(SMALL, loop.source.pending[-1].rows, 7)
    loop.step()
    loop.step(10)
    assert loop.order == ["small.stream"]
    assert loop.sink.health() is None


def test_records_of_a_recreated_topic_are_not_committed_under_the_old_id(loop: Loop) -> None:
    loop.read_empty_topics()
    loop.source.put(SMALL, 0, 5)
    loop.step()
    loop.source.topic = "another"
    with pytest.raises(TerminalError, match="created again"):
        loop.step(10)
    assert loop.order == []


def test_records_of_a_deleted_topic_are_committed(loop: Loop) -> None:
    loop.source.put(SMALL, 0, 5)
    loop.source.topic = None
    loop.step()
    loop.step(10)
    assert loop.order == ["small.stream"]


def test_a_halted_partition_is_named_while_the_others_go_on(loop: Loop) -> None:
    loop.sink.lost([SMALL, LARGE])
    loop.source.unreadable[SMALL] = "small.stream/0: Kafka ends at 3"
    loop.sink.assigned({SMALL: "id", LARGE: "id"})
    assert loop.source.assigned == {SMALL: None, LARGE: 0}
    assert loop.sink.halted() == "small.stream/0: Kafka ends at 3. Hint: do something."
    loop.source.put(SMALL, 0, 200, 100)
    loop.source.put(LARGE, 0, 200, 100)
    loop.step()
    # Kafka's end passing the lake's next offset resolves nothing.
    loop.source.unreadable.clear()
    loop.step(600)
    loop.step(600)
    assert loop.order == ["large.stream"]
    assert loop.sink.halted() is not None
    assert loop.sink.health() is None
    loop.sink.lost([SMALL])
    assert loop.sink.halted() is None


@pytest.mark.parametrize("resolved_by", ["a gap", "a new topic"])
def test_the_sink_restarts_once_a_halt_may_be_resolved(loop: Loop, resolved_by: str) -> None:
    loop.source.unreadable[SMALL] = "small.stream/0: offsets 0 to 4 are lost"
    loop.sink.assigned({SMALL: "id"})
    # Not while the store is down: the sink would restart again and again.
    loop.tables["small.stream"].broken = True
    loop.step(11)
    loop.tables["small.stream"].broken = False
    loop.step(11)
    if resolved_by == "a gap":
        loop.tables["small.stream"].head = 5
    else:
        loop.source.topic = "another"
    with pytest.raises(TransientError, match="what halted it has changed"):
        loop.step(11)
