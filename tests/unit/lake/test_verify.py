"""Whatever is taken from the lake, added to it or altered in it, verify names it; compaction changes nothing."""

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from sluice.lake import verify as module
from sluice.lake.chunk import Chunk, record_columns
from sluice.lake.layout import RANGES_KEY
from sluice.lake.table import LakeTable
from sluice.lake.verify import Verification, verify

TOPIC = "topic-1"
DAY_MS = 86_400_000


def chunk(partition: int, offsets: list[int], end: int | None = None, first: int | None = None) -> Chunk:
    """Records over three dates, whose values say where they belong."""
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
    return Chunk(TOPIC, partition, offsets[0] if first is None else first, end or offsets[-1] + 1, rows)


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


def test_what_the_sink_wrote_has_no_fault(lake: LakeTable) -> None:
    found = check(lake)
    assert found.faults == []
    assert (found.version, found.commits, found.ranges, found.rows, found.files) == (3, 3, 6, 60, 9)


def test_compaction_changes_nothing(lake: LakeTable) -> None:
    lake.open().optimize.compact()
    lake.append([chunk(0, list(range(30, 35)))])
    found = check(lake)
    assert found.faults == []
    assert (found.version, found.files, found.rows) == (5, 6, 65)


def test_it_needs_no_memory_for_ranges_that_are_not_whole_yet(lake: LakeTable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HELD_BYTES", 1)
    assert check(lake).faults == []


def test_a_missing_file_is_named(lake: LakeTable) -> None:
    gone = files(lake)[0]
    rows = pq.ParquetFile(gone).metadata.num_rows
    gone.unlink()
    found = check(lake)
    assert f"file {gone.relative_to(lake.uri)}: is missing" in found.faults
    assert found.missing == rows
    assert (found.gaps, found.overlaps, found.doubled, found.wrong_hashes) == (0, 0, 0, 0)


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"\0" * len(data)])
def test_a_damaged_file_is_named(lake: LakeTable, damage: Callable[[bytes], bytes]) -> None:
    hurt = files(lake)[1]
    hurt.write_bytes(damage(hurt.read_bytes()))
    found = check(lake)
    assert any(fault.startswith(f"file {hurt.relative_to(lake.uri)}: is damaged") for fault in found.faults)
    assert found.missing > 0


def test_a_file_damaged_in_its_values_alone_is_named(lake: LakeTable) -> None:
    hurt = files(lake)[1]
    column = pq.ParquetFile(hurt).metadata.row_group(0).column(5)
    assert column.path_in_schema == "value"
    data = bytearray(hurt.read_bytes())
    start = column.dictionary_page_offset or column.data_page_offset
    data[start : start + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    hurt.write_bytes(data)
    found = check(lake)
    assert any(fault.startswith(f"file {hurt.relative_to(lake.uri)}: is damaged") for fault in found.faults)


def rewrite(path: Path, change: Callable[[pa.Table], pa.Table], uri: str) -> None:
    """Puts other rows into a data file, and its new size into the log, as somebody who hides it would."""
    old = path.stat().st_size
    pq.write_table(change(pq.ParquetFile(path).read()), path, compression="zstd")
    for log in (Path(uri) / "_delta_log").glob("*.json"):
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        for line in lines:
            if "add" in line and line["add"]["path"] == str(path.relative_to(uri)):
                assert line["add"]["size"] == old
                line["add"]["size"] = path.stat().st_size
        log.write_text("\n".join(json.dumps(line) for line in lines))


def test_an_altered_value_is_found_in_its_range(lake: LakeTable) -> None:
    def alter(rows: pa.Table) -> pa.Table:
        values = rows["value"].to_pylist()
        values[0] = values[0][:-1] + b"!"
        return rows.set_column(rows.schema.get_field_index("value"), "value", [pa.array(values, pa.binary())])

    path = files(lake)[0]
    first = pq.ParquetFile(path).read().slice(0, 1).to_pylist()[0]
    rewrite(path, alter, lake.uri)
    found = check(lake)
    assert found.wrong_hashes == 1
    low = first["offset"] // 10 * 10
    assert found.faults == [
        f"partition {first['partition']}, version {low // 10 + 1}, offsets {low} to {low + 9}: "
        "the hash of its values is not the recorded one"
    ]


def test_a_row_taken_out_of_a_file_is_missing(lake: LakeTable) -> None:
    path = files(lake)[0]
    rewrite(path, lambda rows: rows.slice(1), lake.uri)
    found = check(lake)
    assert found.missing == 1
    assert any(fault.startswith(f"file {path.relative_to(lake.uri)}: holds") for fault in found.faults)
    assert any("1 of 10 recorded rows are missing" in fault for fault in found.faults)


def test_swapped_values_are_found(lake: LakeTable) -> None:
    path = files(lake)[0]
    rewrite(
        path,
        lambda rows: rows.set_column(
            rows.schema.get_field_index("value"), "value", rows["value"].take(pa.array(range(rows.num_rows))[::-1])
        ),
        lake.uri,
    )
    assert check(lake).wrong_hashes >= 1


def test_rows_doubled_by_a_raw_append_are_found(lake: LakeTable) -> None:
    write_deltalake(lake.uri, chunk(1, [4, 5, 6]).rows, mode="append")
    found = check(lake)
    assert found.faults == [
        "version 4: not the sink's: a WRITE that names no offsets",
        "partition 1, version 1, offsets 0 to 9: 3 rows are doubled",
    ]
    assert found.doubled == 3


def test_rows_beyond_the_head_and_of_other_topics_are_found(lake: LakeTable) -> None:
    write_deltalake(lake.uri, chunk(1, [40, 41]).rows, mode="append")
    other = chunk(0, [0]).rows
    other = other.set_column(0, other.schema.field(0), [pa.array(["other"], pa.string())])
    write_deltalake(lake.uri, other, mode="append")
    found = check(lake)
    assert found.faults[2:] == [
        "partition 0: 1 rows from offset 0 on lie in no commit's range",
        "partition 1: 2 rows from offset 40 on lie in no commit's range",
    ]


def edit_ranges(lake: LakeTable, version: int, change: Callable[[list[dict]], list[dict]]) -> None:
    lines = [json.loads(line) for line in commit(lake, version).read_text().splitlines()]
    for line in lines:
        if "commitInfo" in line:
            line["commitInfo"][RANGES_KEY] = json.dumps(change(json.loads(line["commitInfo"][RANGES_KEY])))
    commit(lake, version).write_text("\n".join(json.dumps(line) for line in lines))


def test_a_range_that_no_commit_names_is_a_gap(lake: LakeTable) -> None:
    edit_ranges(lake, 2, lambda ranges: [each for each in ranges if each["partition"] != 1])
    found = check(lake)
    assert (found.gaps, found.overlaps) == (1, 0)
    assert found.faults == [
        "partition 1: no commit names offsets 10 to 19",
        "partition 1: 10 rows from offset 10 on lie in no commit's range",
    ]


def test_ranges_that_end_before_the_head_are_a_gap(lake: LakeTable) -> None:
    edit_ranges(lake, 3, lambda ranges: [each for each in ranges if each["partition"] != 0])
    assert "partition 0: the commits' ranges end at 20, the head is 30" in check(lake).faults


def test_ranges_that_overlap_are_found(lake: LakeTable) -> None:
    edit_ranges(lake, 2, lambda ranges: [{**each, "first": 7} if each["partition"] == 0 else each for each in ranges])
    found = check(lake)
    assert found.overlaps == 1
    assert "partition 0, version 2, offsets 7 to 19: 7 to 9 are in an earlier commit's range too" in found.faults


def test_metadata_that_cannot_be_read_is_named(lake: LakeTable) -> None:
    edit_ranges(lake, 2, lambda ranges: [{"partition": 0}])
    assert any(fault.startswith(f"version 2: its {RANGES_KEY} cannot be read") for fault in check(lake).faults)


def test_deleted_rows_are_found(lake: LakeTable) -> None:
    DeltaTable(lake.uri).delete("offset = 12")
    found = check(lake)
    assert "version 4: not the sink's: a DELETE that names no offsets" in found.faults
    assert found.missing == 2


def test_offsets_without_a_record_are_as_recorded(lake: LakeTable) -> None:
    lake.append([chunk(0, [30, 31, 34], end=36)])
    lake.append([Chunk(TOPIC, 0, 36, 50, chunk(0, [0]).rows.slice(0, 0), {"gap": "retention"})])
    lake.append([chunk(0, [50, 51])])
    found = check(lake)
    assert found.faults == []
    assert found.empty == 17
    assert lake.empty_offsets(TOPIC, 0) == 17


def test_what_was_cleaned_from_the_log_is_counted_and_said(lake: LakeTable) -> None:
    lake.append([chunk(0, [30, 33], end=35)])
    lake.open().create_checkpoint()
    lake.append([chunk(0, [35])])
    for version in range(5):
        commit(lake, version).unlink()
    found = check(lake)
    assert found.faults == []
    assert (found.oldest, found.commits, found.unproved) == (5, 1, 35 + 30)
    assert "versions before 5 are cleaned from the log: 65 offsets are only counted" in found.text("s")
    DeltaTable(lake.uri).delete("offset = 12")
    assert check(lake).missing == 2


def test_figures_and_faults_are_printed(lake: LakeTable) -> None:
    write_deltalake(lake.uri, chunk(1, [4]).rows, mode="append")
    text = check(lake).text("s")
    assert text.startswith("s: version 4, 3 commits, 6 ranges, 61 rows in 10 files")
    assert "\ns: partition 1, version 1, offsets 0 to 9: 1 rows are doubled" in text
