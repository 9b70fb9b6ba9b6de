"""The sink buffers no more than its budget and one poll, whatever partitions come and go while the store is down."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from sluice.errors import TransientError
from sluice.lake.chunk import Chunk, record_columns
from sluice.lake.table import AppendResult
from sluice.sink.flush_policy import FlushPolicy
from sluice.sink.protocols import Records, TopicPartition
from sluice.sink.sink import Sink

STREAMS = ("a.one", "a.two")
TOPIC_PARTITIONS = [TopicPartition(stream, partition) for stream in STREAMS for partition in range(3)]
BUDGET = 4_000
RECORDS = 5
"""Records per partition and poll; without a bound, the buffers exceed the budget after a few polls."""


class Consumer:
    """Kafka with endless records. Like librdkafka, it reads an assigned partition unless it was paused since."""

    def __init__(self) -> None:
        self.positions: dict[TopicPartition, int] = {}
        self.paused: set[TopicPartition] = set()

    def check(self, topic_partition: TopicPartition, topic_id: str, next_offset: int, last_record: int) -> None:
        pass

    def assign(self, next_offsets: Mapping[TopicPartition, int]) -> None:
        self.positions |= next_offsets
        self.paused -= next_offsets.keys()

    def unassign(self, topic_partition: TopicPartition) -> None:
        del self.positions[topic_partition]
        self.paused.discard(topic_partition)

    def poll(self, timeout: float) -> Sequence[Records]:
        polled = []
        for topic_partition in sorted(self.positions.keys() - self.paused):
            start = self.positions[topic_partition]
            self.positions[topic_partition] = start + RECORDS
            offsets, nulls = list(range(start, start + RECORDS)), [None] * RECORDS
            values = [b"x" * 20] * RECORDS
            rows = record_columns("id", topic_partition.partition, offsets, [0] * RECORDS, nulls, values, nulls)
            polled.append(Records(topic_partition, rows, start + RECORDS))
        return polled

    def seek(self, topic_partition: TopicPartition, offset: int) -> None:
        raise AssertionError("no partition was fenced")

    def commit_offsets(self, next_offsets: dict[TopicPartition, int]) -> None:
        pass

    def pause(self, topic_partitions: Collection[TopicPartition]) -> None:
        assert set(topic_partitions) <= self.positions.keys()
        self.paused |= set(topic_partitions)

    def resume(self, topic_partitions: Collection[TopicPartition]) -> None:
        assert set(topic_partitions) <= self.paused
        self.paused -= set(topic_partitions)

    def high_watermarks(self, topic_partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        return {}

    def topic_id(self, stream: str) -> str | None:
        return "id"


class Table:
    """A stream's table, which can be down."""

    def __init__(self) -> None:
        self.down = False
        self.next_offsets: dict[int, int] = {}

    def open(self) -> None:
        pass

    def next_offset(self, topic_id: str, partition: int) -> int:
        return self.next_offsets.get(partition, 0)

    def last_record(self, topic_id: str, partition: int) -> int:
        return 0

    def append(self, chunks: Sequence[Chunk]) -> AppendResult:
        if self.down:
            raise TransientError("the store is down")
        for chunk in chunks:
            self.next_offsets[chunk.partition] = chunk.next_offset
        return AppendResult(1, committed=list(chunks))


class BackpressureMachine(RuleBasedStateMachine):
    """One sink whose partitions are assigned, revoked and lost while its tables go down and come back."""

    @initialize()
    def begin(self) -> None:
        self.now = 0.0
        self.consumer = Consumer()
        self.tables = {stream: Table() for stream in STREAMS}
        policy = FlushPolicy(age=5, batch_bytes=1_500, budget_bytes=BUDGET)
        self.sink = Sink(self.consumer, self.tables, lambda: self.now, policy)

    @rule(topic_partition=st.sampled_from(TOPIC_PARTITIONS))
    def assign(self, topic_partition: TopicPartition) -> None:
        if topic_partition not in self.consumer.positions:
            self.sink.assigned({topic_partition: "id"})

    @precondition(lambda self: self.consumer.positions)
    @rule(data=st.data(), lost=st.booleans())
    def give_up(self, data: st.DataObject, lost: bool) -> None:
        topic_partition = data.draw(st.sampled_from(sorted(self.consumer.positions)))
        (self.sink.lost if lost else self.sink.revoked)([topic_partition])
        self.consumer.unassign(topic_partition)

    @rule(stream=st.sampled_from(STREAMS), down=st.booleans())
    def fail_or_heal(self, stream: str, down: bool) -> None:
        self.tables[stream].down = down

    @rule(seconds=st.sampled_from([0.0, 1.0, 20.0]))
    def step(self, seconds: float) -> None:
        self.now += seconds
        self.sink.step()

    @invariant()
    def buffers_hold_the_budget_and_one_poll_at_most(self) -> None:
        if not hasattr(self, "sink"):
            return
        one_record = 80
        buffered = sum(buffer.size for buffer in self.sink._buffers.values())
        assert buffered <= BUDGET + len(TOPIC_PARTITIONS) * RECORDS * one_record
        if buffered > BUDGET:
            assert self.consumer.paused == self.consumer.positions.keys()

    @invariant()
    def nothing_stays_paused_below_the_budget(self) -> None:
        if not hasattr(self, "sink"):
            return
        self.sink.step(0)
        if sum(buffer.size for buffer in self.sink._buffers.values()) <= BUDGET:
            assert not self.consumer.paused

    def teardown(self) -> None:
        if not hasattr(self, "sink"):
            return
        for table in self.tables.values():
            table.down = False
        self.now += 60
        self.sink.step()
        assert not self.consumer.paused


def test_the_buffers_keep_their_budget_whatever_is_assigned_revoked_lost_or_down(new_seed: int) -> None:
    run_state_machine_as_test(
        seed(new_seed)(BackpressureMachine),
        settings=settings(
            max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
        ),
    )
