"""Two sinks interleave in any order, with lost responses and crashes: each offset is in the lake exactly once.

The state machine drives the real loop against a real Delta table in a temporary folder. Each sink believes that it owns
all partitions whenever it (re)starts, like a group member that wakes up after its session expired. Only the lake's
fencing keeps the two apart.
"""

import contextlib
import tempfile
from collections.abc import Collection, Iterable, Mapping, Sequence

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from hypothesis import HealthCheck, Phase, seed, settings
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
from sluice.lake import table as table_module
from sluice.lake.chunk import Chunk, record_columns
from sluice.lake.table import AppendResult, LakeTable
from sluice.sink.flush_policy import FlushPolicy
from sluice.sink.protocols import Records, TopicPartition
from sluice.sink.sink import Sink

STREAM = "flights.departed"
TOPIC_ID = "6f1c2a52-0000-4000-8000-000000000000"
PARTITIONS = 2
TOPIC_PARTITIONS = [TopicPartition(STREAM, partition) for partition in range(PARTITIONS)]


class Log:
    """Kafka's log: the number of records per partition. A record's value names its partition and offset."""

    def __init__(self) -> None:
        self.ends = dict.fromkeys(TOPIC_PARTITIONS, 0)
        self.committed_offsets = dict.fromkeys(TOPIC_PARTITIONS, 0)
        """The consumer group's offsets."""

    def read(self, topic_partition: TopicPartition, start: int, count: int) -> Records | None:
        stop = min(start + count, self.ends[topic_partition])
        if stop <= start:
            return None
        offsets = range(start, stop)
        values = [f"{topic_partition.partition}:{offset}".encode() for offset in offsets]
        times = [1_357_000_000_000 + offset * 40_000_000 for offset in offsets]
        nulls = [None] * len(values)
        rows = record_columns(TOPIC_ID, topic_partition.partition, list(offsets), times, nulls, values, nulls)
        return Records(topic_partition, rows, stop)


class Reader:
    """A consumer's position in the log."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.positions: dict[TopicPartition, int] = {}
        self.counts: dict[TopicPartition, int] = {}

    def poll(self, timeout: float) -> Sequence[Records]:
        batches = []
        for topic_partition, count in self.counts.items():
            records = self.log.read(topic_partition, self.positions[topic_partition], count)
            if records is not None:
                self.positions[topic_partition] = records.next_offset
                batches.append(records)
        self.counts = {}
        return batches

    def check(self, topic_partition: TopicPartition, topic_id: str, next_offset: int, last_record: int) -> None:
        pass

    def assign(self, next_offsets: Mapping[TopicPartition, int]) -> None:
        self.positions |= next_offsets

    def seek(self, topic_partition: TopicPartition, offset: int) -> None:
        self.positions[topic_partition] = offset

    def commit_offsets(self, next_offsets: dict[TopicPartition, int]) -> None:
        self.log.committed_offsets |= next_offsets

    def pause(self, topic_partitions: Collection[TopicPartition]) -> None:
        raise AssertionError("the budget is never exceeded here: see test_backpressure.py")

    def resume(self, topic_partitions: Collection[TopicPartition]) -> None:
        raise AssertionError("nothing was paused")

    def high_watermarks(self, topic_partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        return {topic_partition: self.log.ends[topic_partition] for topic_partition in topic_partitions}

    def topic_id(self, stream: str) -> str | None:
        return TOPIC_ID


class FaultyTable(LakeTable):
    """The lake's table. The next commit can fail before it is made, or its response can be lost."""

    fault = ""

    def _write(self, table: DeltaTable, chunks: Sequence[Chunk]) -> None:
        fault, self.fault = self.fault, ""
        if fault == "before":
            raise OSError("connection reset before the request")
        super()._write(table, chunks)
        if fault == "after":
            raise OSError("connection reset before the response")


class Member:
    """One sink process. It can crash, and restarts without any state."""

    dates = 4_000

    def __init__(self, log: Log, uri: str, sink_class: type[Sink] = Sink) -> None:
        self.log = log
        self.uri = uri
        self.sink_class = sink_class
        self.start()

    def start(self) -> None:
        self.now = 0.0
        self.reader = Reader(self.log)
        self.table = self.make_table()
        self.table.create()
        policy = FlushPolicy(age=1e9, batch_bytes=1 << 40, budget_bytes=1 << 40, dates=self.dates)
        self.sink = self.sink_class(self.reader, {STREAM: self.table}, lambda: self.now, policy)
        self.sink.assigned(dict.fromkeys(TOPIC_PARTITIONS, TOPIC_ID))

    def make_table(self) -> FaultyTable:
        return FaultyTable(self.uri, {})

    def read(self, counts: dict[TopicPartition, int]) -> None:
        self.reader.counts = counts
        self.sink.step()

    def flush(self) -> None:
        # After an error the loop continues; the next commit finds out whether this one was made.
        with contextlib.suppress(TransientError):
            self.sink.flush()


class SinksMachine(RuleBasedStateMachine):
    """Two sinks on one topic, in any interleaving."""

    member_class: type[Member] = Member

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.log = Log()
        self.members = [self.member_class(self.log, self.folder.name) for _ in range(2)]

    @rule(counts=st.tuples(*[st.integers(0, 5)] * PARTITIONS))
    def produce(self, counts: tuple[int, ...]) -> None:
        for topic_partition, count in zip(TOPIC_PARTITIONS, counts, strict=True):
            self.log.ends[topic_partition] += count

    @rule(number=st.integers(0, 1), counts=st.tuples(*[st.integers(0, 4)] * PARTITIONS))
    def read(self, number: int, counts: tuple[int, ...]) -> None:
        self.members[number].read(dict(zip(TOPIC_PARTITIONS, counts, strict=True)))

    @rule(number=st.integers(0, 1), fault=st.sampled_from(["", "", "before", "after"]))
    def flush(self, number: int, fault: str) -> None:
        self.members[number].table.fault = fault
        self.members[number].flush()
        self.members[number].table.fault = ""

    @rule(number=st.integers(0, 1))
    def crash(self, number: int) -> None:
        self.members[number].start()

    @rule(number=st.integers(0, 1), partition=st.integers(0, PARTITIONS - 1))
    def lose(self, number: int, partition: int) -> None:
        member = self.members[number]
        member.sink.lost([TOPIC_PARTITIONS[partition]])
        member.sink.assigned({TOPIC_PARTITIONS[partition]: TOPIC_ID})

    @precondition(lambda self: sum(self.log.ends.values()) > 0)
    @rule()
    def maintain(self) -> None:
        table = DeltaTable(self.folder.name)
        table.optimize.compact()
        table.create_checkpoint()

    @invariant()
    def every_committed_offset_is_in_the_lake_once(self) -> None:
        if not hasattr(self, "folder"):
            return
        for topic_partition, values in committed(self.folder.name).items():
            assert values == [f"{topic_partition.partition}:{offset}".encode() for offset in range(len(values))]

    def teardown(self) -> None:
        if not hasattr(self, "folder"):
            return
        for _ in range(3):
            for member in self.members:
                member.read(dict.fromkeys(TOPIC_PARTITIONS, 1 << 20))
                member.flush()
        counts = {topic_partition: len(values) for topic_partition, values in committed(self.folder.name).items()}
        assert counts == {topic_partition: end for topic_partition, end in self.log.ends.items() if end}
        self.folder.cleanup()


def committed(uri: str) -> dict[TopicPartition, list[bytes]]:
    """Returns the values in the lake per partition, in offset order."""
    rows: pa.Table = DeltaTable(uri).to_pyarrow_table(columns=["partition", "offset", "value"])
    values: dict[TopicPartition, list[bytes]] = {}
    for row in rows.sort_by([("partition", "ascending"), ("offset", "ascending")]).to_pylist():
        values.setdefault(TopicPartition(STREAM, row["partition"]), []).append(row["value"])
    return values


OPTIONS = settings(max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def test_two_sinks_in_any_interleaving_stay_exactly_once(new_seed: int) -> None:
    run_state_machine_as_test(_seeded(SinksMachine, new_seed), settings=OPTIONS)


def _seeded(machine: type[SinksMachine], number: int) -> type[SinksMachine]:
    """Returns a machine of its own: the mutants below, which are to fail, inherit no seed."""
    return seed(number)(type(machine.__name__, (machine,), {}))


class LimitedMember(Member):
    """A sink whose batches take several commits, because a commit may have one or two dates only."""

    dates = 2


class LimitedMachine(SinksMachine):
    """The same interleavings; each date is written as a commit of many dates is."""

    member_class = LimitedMember


def test_batches_of_more_dates_than_a_commit_may_have_stay_exactly_once(
    monkeypatch: pytest.MonkeyPatch, new_seed: int
) -> None:
    monkeypatch.setattr(table_module, "_MANY_DATES", 0)
    run_state_machine_as_test(_seeded(LimitedMachine, new_seed), settings=OPTIONS)


class UncheckedTable(FaultyTable):
    """A mutant that writes any chunk from any snapshot."""

    def append(self, chunks: Sequence[Chunk]) -> AppendResult:
        table = self.open()
        try:
            self._write(table, chunks)
        except OSError as error:
            raise TransientError(str(error)) from error
        return AppendResult(table.version(), committed=list(chunks))


class UncheckedMember(Member):
    """A sink over the mutant table."""

    def make_table(self) -> FaultyTable:
        return UncheckedTable(self.uri, {})


class UncheckedMachine(SinksMachine):
    """The same interleavings, over the mutant table."""

    member_class = UncheckedMember


def test_a_sink_without_fencing_is_caught() -> None:
    assert fails(UncheckedMachine)


class TrustingSink(Sink):
    """A mutant that commits consumer offsets before the data, and resumes from them."""

    log: Log

    def assigned(self, topic_ids: Mapping[TopicPartition, str]) -> None:
        super().assigned(topic_ids)
        for topic_partition in topic_ids:
            self._buffers[topic_partition].restart(self.log.committed_offsets[topic_partition])
            self._source.seek(topic_partition, self.log.committed_offsets[topic_partition])

    def _commit(self, stream: str) -> None:
        self._source.commit_offsets(
            {topic_partition: chunk.next_offset for topic_partition, chunk in self._chunks(stream).items()}
        )
        super()._commit(stream)


class TrustingMember(UncheckedMember):
    """The mutant sink. Its table has no fencing, which would catch it."""

    def __init__(self, log: Log, uri: str) -> None:
        super().__init__(log, uri, type("TrustingSinkOfThisLog", (TrustingSink,), {"log": log}))


class TrustingMachine(SinksMachine):
    """The same interleavings, over the mutant sink."""

    member_class = TrustingMember


def test_a_sink_that_trusts_consumer_offsets_committed_before_the_data_is_caught() -> None:
    assert fails(TrustingMachine)


def fails(machine: type[SinksMachine]) -> bool:
    """Returns whether the machine fails within as many examples as the real sink passes."""
    options = settings(
        max_examples=40,
        stateful_step_count=25,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        report_multiple_bugs=False,
    )
    try:
        run_state_machine_as_test(machine, settings=options)
    except AssertionError:
        return True
    return False
