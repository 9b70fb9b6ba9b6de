"""A backlog of any length is read in slices of the log: each offset in one slice, each slice from its own files."""

from collections.abc import Iterator

import pytest
from deltalake import DeltaTable
from deltalake.fs import DeltaStorageHandler
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow.fs import PyFileSystem

from sluice.lake import commit_log, reader
from sluice.lake.chunk import Chunk, record_columns
from sluice.lake.commit_log import CommitLog, LogSlice
from sluice.lake.ranges import CommittedRange, Range
from sluice.lake.reader import LakeReader
from sluice.lake.table import LakeTable

TOPIC = "t"
DAY_MS = 86_400_000
COMMITS = 40
PART = LogSlice(
    [],
    [
        CommittedRange(5, TOPIC, 0, 100, 150, 50, ""),
        CommittedRange(5, TOPIC, 1, 0, 10, 10, ""),
        CommittedRange(6, TOPIC, 0, 150, 200, 50, ""),
        CommittedRange(8, TOPIC, 1, 10, 20, 10, ""),
    ],
    # Version 7 compacted earlier files, so it records no offsets.
    {
        5: frozenset({"d=1/a", "d=2/b"}),
        6: frozenset({"d=1/c"}),
        7: frozenset({"d=2/joined"}),
        8: frozenset({"d=2/d"}),
    },
)


def test_needed_files_are_those_of_the_commits_that_wrote_the_offsets_and_their_replacements() -> None:
    present = {"d=1/a", "d=1/c", "d=2/d", "d=2/joined", "d=3/e"}
    # Partition 1 is far behind: by their minimum and maximum offsets, all files could contain its rows.
    assert PART.paths([Range(TOPIC, 1, 10, 20)], present) == {"d=2/d"}
    assert PART.paths([Range(TOPIC, 0, 150, 200)], present) == {"d=1/c"}
    assert PART.paths([Range(TOPIC, 0, 149, 151)], present) == {"d=1/a", "d=2/b", "d=2/joined", "d=1/c"}
    assert PART.paths([Range("another", 0, 0, 200)], present) == frozenset()
    assert LogSlice([]).paths([], present) is None


def _rows(partition: int, start: int, end: int) -> Chunk:
    offsets, nulls = range(start, end), [None] * (end - start)
    times = [DAY_MS * (offset // 100) for offset in offsets]
    values = [f"{partition}:{offset}".encode() for offset in offsets]
    rows = record_columns(TOPIC, partition, offsets, times, nulls, values, nulls)
    return Chunk(TOPIC, partition, start, end, rows)


@pytest.fixture(scope="module", params=["complete", "compacted", "cleaned", "archived"])
def table(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Commits of partition 0 each time, of partition 1 rarely; two checkpoints; the first date compacted or not."""
    folder = tmp_path_factory.mktemp("lake")
    lake = LakeTable(str(folder), {})
    lake.create()
    for number in range(COMMITS):
        chunks = [_rows(0, number * 10, number * 10 + 10)]
        if number % 7 == 3:
            chunks.append(_rows(1, number // 7 * 3, number // 7 * 3 + 3))
        lake.append(chunks)
        if number in (12, 25):
            lake.open().create_checkpoint()
    if request.param == "compacted":
        lake.open().optimize.compact(partition_filters=[("event_date", "=", "1970-01-02")])
    if request.param == "archived":
        _log(str(folder)).archive()
    if request.param in ("cleaned", "archived"):
        for version in range(13):
            (folder / "_delta_log" / f"{version:020d}.json").unlink()
    return str(folder)


def _log(table: str) -> CommitLog:
    return CommitLog(table, PyFileSystem(DeltaStorageHandler(table, {})), DeltaTable(table).version())


@pytest.fixture(autouse=True)
def _small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit_log, "SLICE", 6)
    monkeypatch.setattr(commit_log, "_PARALLEL", 2)
    monkeypatch.setattr(reader, "storage_options", lambda *_: {})


def _reader(table: str) -> LakeReader:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "table_uri", lambda *_: table)
        return LakeReader(None, "s")


@settings(max_examples=40, deadline=None)
@given(starts=st.tuples(st.integers(0, 400), st.integers(0, 18)))
def test_the_slices_are_the_ranges_and_their_files_hold_their_rows(table: str, starts: tuple[int, int]) -> None:
    lake = _reader(table)
    ends = [DeltaTable(table).transaction_version(f"{TOPIC}/{partition}") or 0 for partition in (0, 1)]
    ranges = [
        Range(TOPIC, n, start, end) for n, (start, end) in enumerate(zip(starts, ends, strict=True)) if end > start
    ]
    reached = dict(enumerate(starts))
    for part in lake.slices(ranges):
        assert part.ranges
        for offsets in part.ranges:
            assert offsets.start_offset == reached[offsets.partition] < offsets.next_offset
            reached[offsets.partition] = offsets.next_offset
        found = [
            (partition, offset)
            for batch in lake.batches(
                lake.candidate_files(part.ranges, part), part.ranges, ["topic_id", "partition", "offset"]
            )
            for partition, offset in zip(batch["partition"].to_pylist(), batch["offset"].to_pylist(), strict=True)
        ]
        assert sorted(found) == [
            (offsets.partition, offset)
            for offsets in sorted(part.ranges, key=lambda offsets: offsets.partition)
            for offset in range(offsets.start_offset, offsets.next_offset)
        ]
    assert all(reached[offsets.partition] == offsets.next_offset for offsets in ranges)


@pytest.mark.parametrize(("start", "most"), [(390, 2), (0, 12), (200, 18)])
def test_the_first_slice_is_available_after_a_bounded_number_of_reads(
    table: str, monkeypatch: pytest.MonkeyPatch, start: int, most: int
) -> None:
    """One slice backwards, and forwards those from the checkpoint before the start: here at offset 130."""
    reads: list[int] = []
    entry = CommitLog._entry

    def counted(self: CommitLog, version: int) -> object:
        reads.append(version)
        return entry(self, version)

    monkeypatch.setattr(CommitLog, "_entry", counted)
    slices: Iterator[LogSlice] = _reader(table).slices([Range(TOPIC, 0, start, 400)])
    first = next(slices)
    assert first.ranges[0].start_offset == start
    assert len(reads) <= most


def test_a_backlog_is_passed_on_slice_by_slice(table: str) -> None:
    lengths = [
        sum(offsets.next_offset - offsets.start_offset for offsets in part.ranges)
        for part in _reader(table).slices([Range(TOPIC, 0, 130, 400)])
    ]
    assert len(lengths) >= 4
    assert max(lengths) <= 60


def test_offsets_whose_commits_were_cleaned_from_the_log_keep_their_hashes(
    table: str, request: pytest.FixtureRequest
) -> None:
    unknown = [
        offsets
        for part in _reader(table).slices([Range(TOPIC, 0, 0, 400)])
        if not part.commits
        for offsets in part.ranges
    ]
    cleaned = request.node.callspec.params["table"] == "cleaned"
    assert unknown == ([Range(TOPIC, 0, 0, 120)] if cleaned else [])
