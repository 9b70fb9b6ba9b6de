"""The lake's next offsets come from the log's transactions, however many files and topics the table has had."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from sluice.lake import reader
from sluice.lake.chunk import Chunk, record_columns
from sluice.lake.commit_log import CommitLog
from sluice.lake.reader import LakeReader
from sluice.lake.table import LakeTable

TOPICS = ("id-1", "id-2", "id-3")
"""The ids of a topic that was deleted and created again twice. The lowest and the highest do not tell the other."""
ENDS = {(topic_id, partition): 10 + partition for topic_id in TOPICS for partition in (0, 12)}


def _chunk(topic_id: str, partition: int, start: int, end: int) -> Chunk:
    offsets, nulls = range(start, end), [None] * (end - start)
    rows = record_columns(topic_id, partition, offsets, [0] * len(offsets), nulls, [b"v"] * len(offsets), nulls)
    return Chunk(topic_id, partition, start, end, rows)


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LakeTable:
    """One date with the rows of three topic ids, and more partitions than the contract has now."""
    monkeypatch.setattr(reader, "table_uri", lambda *_: str(tmp_path))
    monkeypatch.setattr(reader, "storage_options", lambda *_: {})
    table = LakeTable(str(tmp_path), {})
    table.create()
    for (topic_id, partition), end in ENDS.items():
        table.append([_chunk(topic_id, partition, 0, end)])
    return table


def _compact(table: LakeTable) -> None:
    table.open().optimize.compact()


def _compact_and_clean(table: LakeTable) -> None:
    _compact(table)
    table.open().create_checkpoint()
    for path in Path(table.uri).glob("_delta_log/*.json"):
        if int(path.stem) < table.open().version():
            path.unlink()


def _clean_without_hint(table: LakeTable) -> None:
    """A copy of the lake can lack the file that names the newest checkpoint."""
    _compact_and_clean(table)
    Path(table.uri, "_delta_log", "_last_checkpoint").unlink()


@pytest.mark.parametrize("change", [lambda _: None, _compact, _compact_and_clean, _clean_without_hint])
def test_every_topic_is_known_without_reading_a_data_file(
    table: LakeTable, monkeypatch: pytest.MonkeyPatch, change: Callable[[LakeTable], None]
) -> None:
    change(table)
    lake = LakeReader(None, "s")
    opened: list[str] = []

    def noting(original: Callable[[str], pa.PythonFile]) -> Callable[[str], pa.PythonFile]:
        def noted(path: str) -> pa.PythonFile:
            opened.append(path)
            return original(path)

        return noted

    store = lake._filesystem.handler
    for name in ("open_input_file", "open_input_stream"):
        monkeypatch.setattr(store, name, noting(getattr(store, name)))
    assert lake.next_offsets() == ENDS
    assert opened
    assert [path for path in opened if not path.startswith("_delta_log/")] == []


def test_a_partition_without_any_row_is_known_and_other_transactions_are_not_taken_for_partitions(
    table: LakeTable,
) -> None:
    table.append([Chunk("id-4", 0, 0, 5, _chunk("id-4", 0, 0, 0).rows, transactions={"id-4/0/gap/2": 5})])
    assert LakeReader(None, "s").next_offsets() == ENDS | {("id-4", 0): 5}


def test_only_the_log_after_the_newest_checkpoint_is_read(table: LakeTable, monkeypatch: pytest.MonkeyPatch) -> None:
    table.open().create_checkpoint()
    table.append([_chunk("id-3", 0, 10, 20)])
    read: list[int] = []
    actions = CommitLog._actions

    def counted(self: CommitLog, version: int, *kinds: str) -> object:
        read.append(version)
        return actions(self, version, *kinds)

    monkeypatch.setattr(CommitLog, "_actions", counted)
    assert LakeReader(None, "s").next_offsets() == ENDS | {("id-3", 0): 20}
    assert read == [len(ENDS) + 1]


def test_a_checkpoint_written_since_the_reader_was_opened_changes_nothing(table: LakeTable) -> None:
    lake = LakeReader(None, "s")
    table.append([_chunk("id-3", 0, 10, 20)])
    DeltaTable(table.uri).create_checkpoint()
    assert lake.next_offsets() == ENDS
    assert LakeReader(None, "s").next_offsets() == ENDS | {("id-3", 0): 20}
