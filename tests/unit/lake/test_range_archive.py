"""Hashes outlive the log: a damaged value is found by verify and by the check of a date, compacted or not."""

import json
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from sluice.lake import maintenance, reader
from sluice.lake.chunk import Chunk, record_columns
from sluice.lake.layout import RANGES_KEY
from sluice.lake.ranges import Range
from sluice.lake.reader import LakeReader
from sluice.lake.table import LakeTable
from sluice.lake.verify import verify

DAY_MS = 86_400_000
DAYS = [date(1970, 1, day) for day in (1, 2, 3)]
WHOLE = [Range("id", partition, 0, 50) for partition in (0, 1)]


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LakeTable:
    """Five commits of two partitions over three dates."""
    for module in (maintenance, reader):
        monkeypatch.setattr(module, "table_uri", lambda *_: str(tmp_path))
        monkeypatch.setattr(module, "storage_options", lambda *_: {})
    table = LakeTable(str(tmp_path), {})
    table.create()
    for start in range(0, 50, 10):
        table.append([_chunk(partition, start, start + 10) for partition in (0, 1)])
    return table


def _chunk(partition: int, start: int, end: int) -> Chunk:
    offsets, nulls = range(start, end), [None] * (end - start)
    values = [f"{partition}:{offset}".encode() for offset in offsets]
    times = [DAY_MS * (offset % 3) for offset in offsets]
    return Chunk("id", partition, start, end, record_columns("id", partition, offsets, times, nulls, values, nulls))


def _alter(folder: Path, change: Callable[[pa.Table], pa.Table], row: str = "0:13") -> None:
    """Changes the file of the first two dates that has a value, and covers it up in the log."""
    for path in folder.glob("event_date=*/*.parquet"):
        rows = pq.ParquetFile(path).read()
        if row.encode() in rows["value"].to_pylist():
            pq.write_table(change(rows), path)
            break
    for log in (folder / "_delta_log").glob("*.json"):
        actions = [json.loads(line) for line in log.read_text().splitlines()]
        for action in actions:
            if "add" in action and action["add"]["path"] == str(path.relative_to(folder)):
                action["add"]["size"] = path.stat().st_size
        log.write_text("\n".join(map(json.dumps, actions)))


def _flip(rows: pa.Table) -> pa.Table:
    values = [b"0:31" if value == b"0:13" else value for value in rows["value"].to_pylist()]
    return rows.set_column(rows.schema.get_field_index("value"), "value", pa.array(values, pa.binary()))


def _drop(rows: pa.Table) -> pa.Table:
    return rows.filter(pa.array([value != b"0:13" for value in rows["value"].to_pylist()]))


def _maintain(folder: Path, *, closed: bool) -> maintenance.MaintenanceReport:
    """Maintains the table, and cleans the log down to its newest version."""
    DeltaTable(str(folder)).alter.set_table_properties({"delta.logRetentionDuration": "interval 0 seconds"})
    time.sleep(0.01)
    contract = SimpleNamespace(stream="s", lateness=timedelta(0))
    return maintenance.maintain(None, contract, dict.fromkeys(DAYS, closed))


def _check(day: date, ranges: list[Range] = WHOLE) -> str | None:
    lake = LakeReader(None, "s")
    check = lake.check_date(day, ranges)
    for rows in lake.batches(
        lake.candidate_files(ranges, day=day), ranges, ["topic_id", "partition", "offset", "value"]
    ):
        check.add(rows)
    altered = check.altered()
    return None if altered is None else f"{altered[0].text()}: {altered[1]}"


@pytest.mark.parametrize("when", ["in the log", "archived", "compacted"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (None, None),
        (_flip, "the values of 1970-01-02 differ from those committed"),
        (_drop, "3 of 4 rows of 1970-01-02 are there"),
    ],
)
def test_damage_is_found_in_its_date_and_range(
    tmp_path: Path, table: LakeTable, when: str, change: Callable[[pa.Table], pa.Table] | None, message: str | None
) -> None:
    if change is not None:
        _alter(tmp_path, change)
    if when != "in the log":
        assert _maintain(tmp_path, closed=when == "compacted").log_removed > 0
    expected = None if message is None else f"partition 0, version 2, offsets 10 to 19: {message}"
    assert [_check(day) for day in DAYS] == [None, expected, None]
    # A commit that is partly beyond the ranges is not checked.
    assert _check(DAYS[1], [Range("id", 0, 0, 19), Range("id", 1, 0, 50)]) is None
    verified = verify(str(tmp_path), {})
    assert verified.unverified == 0
    assert bool(verified.faults) == (change is not None)


def test_the_archive_grows_with_each_maintenance_and_survives_vacuum(tmp_path: Path, table: LakeTable) -> None:
    _maintain(tmp_path, closed=True)
    LakeTable(str(tmp_path), {}).append([_chunk(partition, 50, 60) for partition in (0, 1)])
    _maintain(tmp_path, closed=True)
    DeltaTable(str(tmp_path)).vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False, full=True)
    assert len(list(tmp_path.glob("_ranges/*.parquet"))) == 2
    verified = verify(str(tmp_path), {})
    assert (verified.faults, verified.unverified, verified.rows, verified.ranges) == ([], 0, 120, 12)


@pytest.mark.parametrize(("change", "found"), [(None, False), (_flip, True)])
def test_commits_of_earlier_versions_are_checked_where_a_range_has_one_date(
    tmp_path: Path, table: LakeTable, change: Callable[[pa.Table], pa.Table] | None, found: bool
) -> None:
    table.append([Chunk("id", 0, 50, 53, _chunk(0, 50, 53).rows)])
    rows = record_columns("id", 1, [50, 51], [0, 0], [None] * 2, [b"0:13", b"x"], [None] * 2)
    table.append([Chunk("id", 1, 50, 52, rows)])
    for log in (tmp_path / "_delta_log").glob("*.json"):
        actions = [json.loads(line) for line in log.read_text().splitlines()]
        for action in actions:
            if RANGES_KEY in action.get("commitInfo", {}):
                ranges = json.loads(action["commitInfo"][RANGES_KEY])
                action["commitInfo"][RANGES_KEY] = json.dumps(
                    [{name: value for name, value in entry.items() if name != "dates"} for entry in ranges]
                )
        log.write_text("\n".join(map(json.dumps, actions)))
    if change is not None:
        _alter(tmp_path, change, row="x")
    altered = _check(DAYS[0], [Range("id", 0, 0, 53), Range("id", 1, 0, 52)])
    assert (altered is not None) == found
    assert altered is None or altered.startswith("partition 1, version 7, offsets 50 to 51")
