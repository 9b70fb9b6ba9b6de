"""Whatever two sinks do to each other, and whatever is lost between, each offset is in the lake exactly once.

The machine drives the real loop against a real Delta table in a temporary folder. Both sinks believe to own all
partitions whenever they are (re)started, as members of a group do that were paused and came back: only the lake's fence
keeps them apart.
"""

import contextlib
import tempfile
from collections.abc import Iterable, Sequence

import pyarrow as pa
from deltalake import DeltaTable
from hypothesis import Phase, settings
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
from sluice.lake.table import Appended, LakeTable
from sluice.sink.sink import FlushPolicy, Records, Sink, TopicPartition

STREAM = "flights.departed"
TOPIC_ID = "6f1c2a52-0000-4000-8000-000000000000"
PARTITIONS = 2
PLACES = [TopicPartition(STREAM, partition) for partition in range(PARTITIONS)]


class Log:
    """What Kafka holds: per partition the number of records; a record's value names its place."""

    def __init__(self) -> None:
        self.ends = dict.fromkeys(PLACES, 0)
        self.marked = dict.fromkeys(PLACES, 0)
        """The consumer group's offsets."""

    def read(self, place: TopicPartition, start: int, count: int) -> Records | None:
        stop = min(start + count, self.ends[place])
        if stop <= start:
            return None
        offsets = range(start, stop)
        values = [f"{place.partition}:{offset}".encode() for offset in offsets]
        times = [1_357_000_000_000 + offset * 40_000_000 for offset in offsets]
        nothing = [None] * len(values)
        rows = record_columns(TOPIC_ID, place.partition, list(offsets), times, nothing, values, nothing)
        return Records(place, rows, stop)


class Reader:
    """A consumer's position in the log."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.positions: dict[TopicPartition, int] = {}
        self.wanted: dict[TopicPartition, int] = {}

    def poll(self, timeout: float) -> Sequence[Records]:
        found = []
        for place, count in self.wanted.items():
            records = self.log.read(place, self.positions[place], count)
            if records is not None:
                self.positions[place] = records.next_offset
                found.append(records)
        self.wanted = {}
        return found

    def seek(self, place: TopicPartition, offset: int) -> None:
        self.positions[place] = offset

    def commit_offsets(self, heads: dict[TopicPartition, int]) -> None:
        self.log.marked |= heads

    def pause(self) -> None:
        pass

    def resume(self) -> None:
        pass

    def high_watermarks(self, places: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        return {place: self.log.ends[place] for place in places}

    def topic_id(self, stream: str) -> str | None:
        return TOPIC_ID


class FaultyTable(LakeTable):
    """The lake's table, whose next commit's answer can be lost: after it was made, or before."""

    fault = ""

    def _write(self, table: DeltaTable, chunks: Sequence[Chunk]) -> None:
        fault, self.fault = self.fault, ""
        if fault == "before":
            raise OSError("connection reset before the request")
        super()._write(table, chunks)
        if fault == "after":
            raise OSError("connection reset before the answer")


class Member:
    """One sink process: it can crash and be started again, and then knows nothing."""

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
        limits = FlushPolicy(age=1e9, batch_bytes=1 << 40, budget_bytes=1 << 40)
        self.sink = self.sink_class(self.reader, {STREAM: self.table}, lambda: self.now, limits)
        self.reader.positions = self.sink.assigned(dict.fromkeys(PLACES, TOPIC_ID))

    def make_table(self) -> FaultyTable:
        return FaultyTable(self.uri, {})

    def read(self, wanted: dict[TopicPartition, int]) -> None:
        self.reader.wanted = wanted
        self.sink.step()

    def flush(self) -> None:
        # After a fault the loop goes on; what became of the commit is found out with the next one.
        with contextlib.suppress(TransientError):
            self.sink.flush()


class SinksMachine(RuleBasedStateMachine):
    """Two sinks, one topic, any interleaving."""

    member_class: type[Member] = Member

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.log = Log()
        self.members = [self.member_class(self.log, self.folder.name) for _ in range(2)]

    @rule(counts=st.tuples(*[st.integers(0, 5)] * PARTITIONS))
    def produce(self, counts: tuple[int, ...]) -> None:
        for place, count in zip(PLACES, counts, strict=True):
            self.log.ends[place] += count

    @rule(who=st.integers(0, 1), counts=st.tuples(*[st.integers(0, 4)] * PARTITIONS))
    def read(self, who: int, counts: tuple[int, ...]) -> None:
        self.members[who].read(dict(zip(PLACES, counts, strict=True)))

    @rule(who=st.integers(0, 1), fault=st.sampled_from(["", "", "before", "after"]))
    def flush(self, who: int, fault: str) -> None:
        self.members[who].table.fault = fault
        self.members[who].flush()
        self.members[who].table.fault = ""

    @rule(who=st.integers(0, 1))
    def crash(self, who: int) -> None:
        self.members[who].start()

    @rule(who=st.integers(0, 1), partition=st.integers(0, PARTITIONS - 1))
    def lose(self, who: int, partition: int) -> None:
        member = self.members[who]
        member.sink.lost([PLACES[partition]])
        member.reader.positions |= member.sink.assigned({PLACES[partition]: TOPIC_ID})

    @precondition(lambda self: sum(self.log.ends.values()) > 0)
    @rule()
    def maintain(self) -> None:
        table = DeltaTable(self.folder.name)
        table.optimize.compact()
        table.create_checkpoint()

    @invariant()
    def each_committed_offset_is_there_once(self) -> None:
        if not hasattr(self, "folder"):
            return
        for place, values in committed(self.folder.name).items():
            assert values == [f"{place.partition}:{offset}".encode() for offset in range(len(values))]

    def teardown(self) -> None:
        if not hasattr(self, "folder"):
            return
        for _ in range(3):
            for member in self.members:
                member.read(dict.fromkeys(PLACES, 1 << 20))
                member.flush()
        found = {place: len(values) for place, values in committed(self.folder.name).items()}
        assert found == {place: end for place, end in self.log.ends.items() if end}
        self.folder.cleanup()


def committed(uri: str) -> dict[TopicPartition, list[bytes]]:
    """The values in the lake per partition, in the order of their offsets."""
    rows: pa.Table = DeltaTable(uri).to_pyarrow_table(columns=["partition", "offset", "value"])
    found: dict[TopicPartition, list[bytes]] = {}
    for row in rows.sort_by([("partition", "ascending"), ("offset", "ascending")]).to_pylist():
        found.setdefault(TopicPartition(STREAM, row["partition"]), []).append(row["value"])
    return found


TestSinks = SinksMachine.TestCase
TestSinks.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)


class UncheckedTable(FaultyTable):
    """A mutant: it writes whatever it is given, from whatever snapshot."""

    def append(self, chunks: Sequence[Chunk]) -> Appended:
        table = self.open()
        try:
            self._write(table, chunks)
        except OSError as error:
            raise TransientError(str(error)) from error
        return Appended(table.version(), committed=list(chunks))


class UncheckedMember(Member):
    """A sink over the mutant table."""

    def make_table(self) -> FaultyTable:
        return UncheckedTable(self.uri, {})


class UncheckedMachine(SinksMachine):
    """The same interleavings, over the mutant."""

    member_class = UncheckedMember


def test_a_sink_that_does_not_check_its_snapshot_is_caught() -> None:
    assert fails(UncheckedMachine)


class TrustingSink(Sink):
    """A mutant: it commits consumer offsets before the data, and goes on from them."""

    log: Log

    def assigned(self, topic_ids: dict[TopicPartition, str]) -> dict[TopicPartition, int]:
        super().assigned(topic_ids)
        for place in topic_ids:
            self._buffers[place].restart(self.log.marked[place])
        return {place: self.log.marked[place] for place in topic_ids}

    def _commit(self, stream: str) -> None:
        self._source.commit_offsets({place: chunk.next_offset for place, chunk in self._chunks(stream).items()})
        super()._commit(stream)


class TrustingMember(UncheckedMember):
    """The mutant sink; the fence would catch it, so its table has none."""

    def __init__(self, log: Log, uri: str) -> None:
        super().__init__(log, uri, type("TrustingSinkOfThisLog", (TrustingSink,), {"log": log}))


class TrustingMachine(SinksMachine):
    """The same interleavings, over that mutant."""

    member_class = TrustingMember


def test_a_sink_that_commits_offsets_before_the_data_and_trusts_them_is_caught() -> None:
    assert fails(TrustingMachine)


def fails(machine: type[SinksMachine]) -> bool:
    """Whether the machine finds a fault within the examples that the real sink passes."""
    found = settings(
        max_examples=40,
        stateful_step_count=25,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        report_multiple_bugs=False,
    )
    try:
        run_state_machine_as_test(machine, settings=found)
    except AssertionError:
        return True
    return False
