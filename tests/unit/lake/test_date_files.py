"""A commit of many dates writes what delta-rs would write: the same rows, statistics and progress."""

from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from sluice.lake import table as table_module
from sluice.lake.chunk import Chunk, record_columns, record_digest
from sluice.lake.table import LakeTable

DAY_MS = 86_400_000
IGNORED = ("path", "size_bytes", "modification_time", "null_count.headers")


def _chunk(partition: int) -> Chunk:
    offsets = range(10, 30)
    times = [-1 if offset == 17 else DAY_MS * (offset % 4) + offset for offset in offsets]
    headers = [[("trace", b"1"), ("empty", None)] if offset % 3 else None for offset in offsets]
    keys = [b"k" if offset % 2 else None for offset in offsets]
    rows = record_columns("id", partition, offsets, times, keys, [b"\x00\xff"] * 20, headers)
    return Chunk("id", partition, 0, 30, rows)


def _files(uri: str) -> pa.Table:
    actions = pa.table(DeltaTable(uri).get_add_actions(flatten=True))
    return actions.select([name for name in actions.column_names if name not in IGNORED])


def _rows(uri: str) -> list[dict[str, object]]:
    order = [("partition", "ascending"), ("offset", "ascending")]
    return list(DeltaTable(uri).to_pyarrow_table().sort_by(order).to_pylist())


def test_rows_and_statistics_are_those_of_delta_rs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = {}
    for limit in (1_000, 0):
        monkeypatch.setattr(table_module, "_MANY_DATES", limit)
        uri = str(tmp_path / str(limit))
        table = LakeTable(uri, {})
        table.create()
        assert not table.append([_chunk(0), _chunk(1)]).fenced
        assert table.next_offset("id", 1) == 30
        assert table.empty_offsets("id", 0) == 10
        assert table.last_record("id", 0) == record_digest(_chunk(0).rows, 30) > 0
        written[limit] = uri
    own, theirs = (_files(uri).sort_by("partition.event_date").to_pylist() for uri in (written[0], written[1_000]))
    assert own == theirs
    assert _rows(written[0]) == _rows(written[1_000])
    before = _rows(written[0])
    DeltaTable(written[0]).optimize.compact()
    LakeTable(written[0], {}).append([Chunk("id", 2, 0, 30, _chunk(2).rows)])
    assert [row for row in _rows(written[0]) if row["partition"] < 2] == before
