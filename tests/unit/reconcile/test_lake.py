"""The lake is read from the verified prefixes on, in bounded memory, and its log tells the rest."""

import tracemalloc
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest

from sluice.lake import reader as reader_module
from sluice.lake.chunk import Chunk, record_columns
from sluice.lake.reader import LakeReader
from sluice.lake.table import LakeTable
from sluice.reconcile.lake import LakeSide, read_lake
from sluice.reconcile.tally import offset_sum
from sluice.settings import Settings

TOPIC = "0b7e5d1c-topic"
KEYS = [(TOPIC, 0), (TOPIC, 1)]
DAY_MS = 86_400_000
DAYS = [date(1970, 1, day) for day in (1, 2, 3)]


def chunk(partition: int, start: int, end: int) -> Chunk:
    """Returns records that alternate between three dates."""
    count = end - start
    offsets = range(start, end)
    rows = record_columns(
        TOPIC, partition, offsets, [DAY_MS * (n % 3) for n in offsets], [None] * count, [b"v"] * count, [None] * count
    )
    return Chunk(TOPIC, partition, start, end, rows)


class Lake:
    """A table in a folder, and the paths of the data files that its readers open."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.table = LakeTable(str(folder / "lake"), {})
        self.table.create()
        self.opened: list[str] = []
        monkeypatch.setattr(reader_module, "table_uri", lambda *_: self.table.uri)
        monkeypatch.setattr(reader_module, "storage_options", lambda *_: {})

    def read(self, verified: dict[tuple[str, int], int], ledger: dict[tuple[str, int], int]) -> LakeSide:
        reader = LakeReader(Settings(), "a.b")
        store = reader._filesystem.handler
        open_input_file = store.open_input_file

        def noted(path: str) -> pa.PythonFile:
            self.opened.append(path)
            return open_input_file(path)

        store.open_input_file = noted
        self.opened.clear()
        return read_lake(reader, verified, ledger)


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """Two partitions, of which the second is far behind; four commits."""
    lake = Lake(tmp_path, monkeypatch)
    for start in range(0, 120, 30):
        lake.table.append([chunk(0, start, start + 30), chunk(1, start // 10, start // 10 + 3)])
    return lake


def test_a_first_comparison_reads_everything_and_splits_it_at_the_end_of_the_ledger(lake: Lake) -> None:
    side = lake.read({}, dict(zip(KEYS, (100, 12), strict=True)))
    assert side.next_offsets == dict(zip(KEYS, (120, 12), strict=True))
    assert side.read == dict.fromkeys(DAYS, 44)
    assert side.logged == side.read
    assert side.tally[*KEYS[0], DAYS[1]] == offset_sum(pa.array(range(1, 100, 3)).to_numpy())
    assert sum(sums.rows for sums in side.tally.values()) == 112
    assert [side.offsets[key].distinct for key in KEYS] == [120, 12]
    assert len(set(lake.opened)) == 12


def test_only_the_files_of_what_follows_the_verified_prefixes_are_opened(lake: Lake) -> None:
    side = lake.read(dict(zip(KEYS, (90, 9), strict=True)), dict(zip(KEYS, (120, 12), strict=True)))
    assert len(set(lake.opened)) == 3
    assert sum(side.read.values()) == 33
    assert [list(side.offsets[key].missing(90 if key == KEYS[0] else 9, 12)) for key in KEYS] == [[], []]
    assert side.logged == dict.fromkeys(DAYS, 44)


def test_without_anything_new_no_file_is_opened(lake: Lake) -> None:
    lake.table.open().optimize.compact()
    ends = dict(zip(KEYS, (120, 12), strict=True))
    side = lake.read(ends, ends)
    assert lake.opened == []
    assert side.logged == dict.fromkeys(DAYS, 44)
    assert not side.read
    assert side.tally == {}


def test_a_first_comparison_of_many_rows_takes_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = Lake(tmp_path, monkeypatch)
    count, commits = 250_000, 8
    for start in range(0, count * commits, count):
        lake.table.append([chunk(0, start, start + count)])
    lake.table.open().optimize.compact()
    default, counted = pa.default_memory_pool(), pa.proxy_memory_pool(pa.system_memory_pool())
    pa.set_memory_pool(counted)
    tracemalloc.start()
    try:
        side = lake.read({}, {KEYS[0]: count * commits})
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        pa.set_memory_pool(default)
    assert side.offsets[KEYS[0]].distinct == count * commits
    # All offsets, dates and ids together are 120 MB.
    assert peak < 16 << 20
    assert counted.max_memory() < 32 << 20
