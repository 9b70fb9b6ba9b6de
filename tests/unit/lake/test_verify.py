"""Verify reports everything that was removed from, added to or altered in the lake; compaction changes nothing."""

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from sluice.errors import TerminalError
from sluice.lake import verify as verify_module
from sluice.lake.chunk import Chunk, record_columns
from sluice.lake.layout import RANGES_KEY
from sluice.lake.table import LakeTable
from sluice.lake.verify import Verification, verify

TOPIC = "topic-1"
DAY_MS = 86_400_000


def chunk(partition: int, offsets: list[int], end: int | None = None, start: int | None = None) -> Chunk:
    """Returns records on three dates, with values derived from partition and offset."""
    count = len(offsets)
    rows = record_columns(
        TOPIC,
        partition,
        offsets,
        [DAY_MS * (offset % 3) for offset in offsets],
        [None] * count,
        [f"{partition}:{offset}".encode() * 40 for offset in offsets],
        [None] * count,
    )
    return Chunk(TOPIC, partition, offsets[0] if start is None else start, end or offsets[-1] + 1, rows)


@pytest.fixture
def lake(tmp_path: Path) -> LakeTable:
    """Two partitions, three commits: offsets 0 to 29 of each."""
    table = LakeTable(str(tmp_path / "lake"), {})
    table.create()
    for start in (0, 10, 20):
        table.append([chunk(partition, list(range(start, start + 10))) for partition in (0, 1)])
    return table


def files(lake: LakeTable) -> list[Path]:
    return sorted(Path(lake.uri).glob("event_date=*/*.parquet"))


def commit(lake: LakeTable, version: int) -> Path:
    return Path(lake.uri) / "_delta_log" / f"{version:020}.json"


def check(lake: LakeTable) -> Verification:
    return verify(lake.uri, {})


def test_a_lake_written_by_the_sink_has_no_faults(lake: LakeTable) -> None:
    result = check(lake)
    assert result.faults == []
    assert (result.version, result.commits, result.ranges, result.rows, result.files) == (3, 3, 6, 60, 9)


def test_compaction_changes_nothing(lake: LakeTable) -> None:
    lake.open().optimize.compact()
    lake.append([chunk(0, list(range(30, 35)))])
    result = check(lake)
    assert result.faults == []
    assert (result.version, result.files, result.rows) == (5, 6, 65)


def test_incomplete_ranges_can_spill_to_disk(lake: LakeTable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify_module, "BUFFER_BYTES", 1)
    assert check(lake).faults == []


def test_a_missing_file_is_reported(lake: LakeTable) -> None:
    path = files(lake)[0]
    rows = pq.ParquetFile(path).metadata.num_rows
    path.unlink()
    result = check(lake)
    assert f"file {path.relative_to(lake.uri)}: is missing" in result.faults
    assert result.missing == rows
    assert (result.gaps, result.overlaps, result.duplicated, result.wrong_hashes) == (0, 0, 0, 0)


@pytest.mark.parametrize("corrupt", [lambda data: data[: len(data) // 2], lambda data: b"\0" * len(data)])
def test_a_corrupt_file_is_reported(lake: LakeTable, corrupt: Callable[[bytes], bytes]) -> None:
    path = files(lake)[1]
    path.write_bytes(corrupt(path.read_bytes()))
    result = check(lake)
    assert any(fault.startswith(f"file {path.relative_to(lake.uri)}: is corrupt") for fault in result.faults)
    assert result.missing > 0


def test_a_file_with_corrupt_values_only_is_reported(lake: LakeTable) -> None:
    path = files(lake)[1]
    column = pq.ParquetFile(path).metadata.row_group(0).column(5)
    assert column.path_in_schema == "value"
    data = bytearray(path.read_bytes())
    start = column.dictionary_page_offset or column.data_page_offset
    data[start : start + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    path.write_bytes(data)
    result = check(lake)
    assert any(fault.startswith(f"file {path.relative_to(lake.uri)}: is corrupt") for fault in result.faults)


def rewrite(path: Path, change: Callable[[pa.Table], pa.Table], uri: str) -> None:
    """Changes the rows of a data file, and covers it up by putting the new size into the log."""
    old = path.stat().st_size
    pq.write_table(change(pq.ParquetFile(path).read()), path, compression="zstd")
    for log in (Path(uri) / "_delta_log").glob("*.json"):
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        for line in lines:
            if "add" in line and line["add"]["path"] == str(path.relative_to(uri)):
                assert line["add"]["size"] == old
                line["add"]["size"] = path.stat().st_size
        log.write_text("\n".join(json.dumps(line) for line in lines))


def test_an_altered_value_is_reported_with_its_range(lake: LakeTable) -> None:
    def alter(rows: pa.Table) -> pa.Table:
        values = rows["value"].to_pylist()
        values[0] = values[0][:-1] + b"!"
        return rows.set_column(rows.schema.get_field_index("value"), "value", [pa.array(values, pa.binary())])

    path = files(lake)[0]
    row = pq.ParquetFile(path).read().slice(0, 1).to_pylist()[0]
    rewrite(path, alter, lake.uri)
    result = check(lake)
    assert result.wrong_hashes == 1
    low = row["offset"] // 10 * 10
    assert result.faults == [
        f"partition {row['partition']}, version {low // 10 + 1}, offsets {low} to {low + 9}: "
        "the hash of its values differs from the recorded one"
    ]


def test_a_row_removed_from_a_file_is_missing(lake: LakeTable) -> None:
    path = files(lake)[0]
    rewrite(path, lambda rows: rows.slice(1), lake.uri)
    result = check(lake)
    assert result.missing == 1
    assert any(fault.startswith(f"file {path.relative_to(lake.uri)}: has") for fault in result.faults)
    assert any("1 of 10 recorded rows are missing" in fault for fault in result.faults)


def test_swapped_values_are_reported(lake: LakeTable) -> None:
    path = files(lake)[0]
    rewrite(
        path,
        lambda rows: rows.set_column(
            rows.schema.get_field_index("value"), "value", rows["value"].take(pa.array(range(rows.num_rows))[::-1])
        ),
        lake.uri,
    )
    assert check(lake).wrong_hashes >= 1


def test_rows_duplicated_by_a_plain_append_are_reported(lake: LakeTable) -> None:
    write_deltalake(lake.uri, chunk(1, [4, 5, 6]).rows, mode="append")
    result = check(lake)
    assert result.faults == [
        "version 4: not written by the sink: WRITE without offset ranges",
        "partition 1, version 1, offsets 0 to 9: 3 rows are duplicated",
    ]
    assert result.duplicated == 3


def test_rows_beyond_the_next_offset_and_of_other_topics_are_reported(lake: LakeTable) -> None:
    write_deltalake(lake.uri, chunk(1, [40, 41]).rows, mode="append")
    other = chunk(0, [0]).rows
    other = other.set_column(0, other.schema.field(0), [pa.array(["other"], pa.string())])
    write_deltalake(lake.uri, other, mode="append")
    result = check(lake)
    assert result.faults[2:] == [
        "partition 0: 1 rows from offset 0 are in no commit",
        "partition 1: 2 rows from offset 40 are in no commit",
    ]


def edit_ranges(lake: LakeTable, version: int, change: Callable[[list[dict]], list[dict]]) -> None:
    lines = [json.loads(line) for line in commit(lake, version).read_text().splitlines()]
    for line in lines:
        if "commitInfo" in line:
            line["commitInfo"][RANGES_KEY] = json.dumps(change(json.loads(line["commitInfo"][RANGES_KEY])))
    commit(lake, version).write_text("\n".join(json.dumps(line) for line in lines))


def test_a_range_in_no_commit_is_a_gap(lake: LakeTable) -> None:
    edit_ranges(lake, 2, lambda ranges: [entry for entry in ranges if entry["partition"] != 1])
    result = check(lake)
    assert (result.gaps, result.overlaps) == (1, 0)
    assert result.faults == [
        "partition 1: offsets 10 to 19 are in no commit",
        "partition 1: 10 rows from offset 10 are in no commit",
    ]


def test_ranges_that_end_before_the_next_offset_are_a_gap(lake: LakeTable) -> None:
    edit_ranges(lake, 3, lambda ranges: [entry for entry in ranges if entry["partition"] != 0])
    assert "partition 0: the commits end at offset 20, but the next offset is 30" in check(lake).faults


def test_overlapping_ranges_are_reported(lake: LakeTable) -> None:
    edit_ranges(
        lake, 2, lambda ranges: [entry | {"first": 7} if entry["partition"] == 0 else entry for entry in ranges]
    )
    result = check(lake)
    assert result.overlaps == 1
    assert "partition 0, version 2, offsets 7 to 19: 7 to 9 are also in an earlier commit" in result.faults


def test_unreadable_metadata_is_reported(lake: LakeTable) -> None:
    edit_ranges(lake, 2, lambda ranges: [{"partition": 0}])
    assert any(fault.startswith(f"version 2: cannot parse {RANGES_KEY}") for fault in check(lake).faults)


def test_a_damaged_log_is_an_error_that_names_its_file(lake: LakeTable) -> None:
    lake.open().create_checkpoint()
    commit(lake, 2).write_text('{"commitInfo":{"operation"')
    with pytest.raises(TerminalError, match=r"the file _delta_log/0{19}2\.json is corrupt"):
        check(lake)


def test_deleted_rows_are_reported(lake: LakeTable) -> None:
    DeltaTable(lake.uri).delete("offset = 12")
    result = check(lake)
    assert "version 4: not written by the sink: DELETE without offset ranges" in result.faults
    assert result.missing == 2


def test_recorded_offsets_without_a_record_are_no_fault(lake: LakeTable) -> None:
    lake.append([chunk(0, [30, 31, 34], end=36)])
    lake.append([Chunk(TOPIC, 0, 36, 50, chunk(0, [0]).rows.slice(0, 0), {"gap": "retention"})])
    lake.append([chunk(0, [50, 51])])
    result = check(lake)
    assert result.faults == []
    assert result.empty == 17
    assert lake.empty_offsets(TOPIC, 0) == 17


def test_offsets_cleaned_from_the_log_are_counted_and_reported(lake: LakeTable) -> None:
    lake.append([chunk(0, [30, 33], end=35)])
    lake.open().create_checkpoint()
    lake.append([chunk(0, [35])])
    for version in range(5):
        commit(lake, version).unlink()
    result = check(lake)
    assert result.faults == []
    assert (result.oldest, result.commits, result.unverified) == (5, 1, 35 + 30)
    assert "versions before 5 were cleaned from the log: their 65 offsets were counted" in result.text("s")
    DeltaTable(lake.uri).delete("offset = 12")
    assert check(lake).missing == 2


def test_figures_and_faults_are_printed(lake: LakeTable) -> None:
    write_deltalake(lake.uri, chunk(1, [4]).rows, mode="append")
    text = check(lake).text("s")
    assert text.startswith("s: version 4, 3 commits, 6 ranges, 61 rows in 10 files")
    assert "\ns: partition 1, version 1, offsets 0 to 9: 1 rows are duplicated" in text
