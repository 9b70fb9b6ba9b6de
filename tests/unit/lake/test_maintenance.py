"""Maintenance on a table in a folder: closed dates are compacted, the log is cleaned; rows and next offsets stay."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from sluice.lake import maintenance, reader
from sluice.lake.chunk import Chunk, record_columns
from sluice.lake.maintenance import dates_to_compact
from sluice.lake.reader import LakeReader
from sluice.lake.table import LakeTable
from sluice.lake.verify import verify
from sluice.settings import ROOT

OLD = time.time() - (maintenance.VACUUM_HOURS + 1) * 3600
DAY_MS = 86_400_000

Maintain = Callable[..., maintenance.MaintenanceReport]


@pytest.fixture
def maintain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Maintain:
    for module in (maintenance, reader):
        monkeypatch.setattr(module, "table_uri", lambda *_: str(tmp_path))
        monkeypatch.setattr(module, "storage_options", lambda *_: {})
    contract = SimpleNamespace(stream="s", lateness=timedelta(0))
    return lambda closed=None: maintenance.maintain(None, contract, closed or {})


@pytest.fixture
def table(tmp_path: Path) -> LakeTable:
    """Five commits of two partitions over three dates, then a commit that ends with offsets without a record."""
    table = LakeTable(str(tmp_path), {})
    table.create()
    for start_offset in range(0, 50, 10):
        table.append([chunk(partition, start_offset, start_offset + 10) for partition in (0, 1)])
    table.append([Chunk("id", 0, 50, 57, chunk(0, 50, 51).rows)])
    return table


def chunk(partition: int, start_offset: int, next_offset: int) -> Chunk:
    offsets = list(range(start_offset, next_offset))
    nulls: list[None] = [None] * len(offsets)
    times = [DAY_MS * (offset % 3) for offset in offsets]
    values = [f"{partition}:{offset}".encode() for offset in offsets]
    rows = record_columns("id", partition, offsets, times, nulls, values, nulls)
    return Chunk("id", partition, start_offset, next_offset, rows)


def expire_log_at_once(folder: Path) -> None:
    """Sets the log retention to zero."""
    DeltaTable(str(folder)).alter.set_table_properties({"delta.logRetentionDuration": "interval 0 seconds"})
    # The age of a file has a resolution of milliseconds.
    time.sleep(0.01)


def log_files(folder: Path) -> set[str]:
    return {path.name for path in (folder / "_delta_log").iterdir()}


def test_old_files_that_no_commit_ever_referenced_are_removed(tmp_path: Path, maintain: Maintain) -> None:
    table = LakeTable(str(tmp_path), {})
    table.create()
    table.append([chunk(0, 0, 1)])
    (referenced,) = tmp_path.glob("event_date=*/*.parquet")
    # A sink killed between its files and its commit leaves such files. A young one may belong to a commit in progress.
    old, young = referenced.with_name("old.parquet"), referenced.with_name("young.parquet")
    for path in (old, young):
        path.write_bytes(referenced.read_bytes())
    os.utime(old, (OLD, OLD))
    os.utime(referenced, (OLD, OLD))

    report = maintain()

    assert (report.vacuumed, report.vacuumed_size) == (1, referenced.stat().st_size)
    assert not old.exists()
    assert young.exists()
    assert referenced.exists()


def test_closed_dates_are_compacted_and_the_report_has_the_figures(
    tmp_path: Path, table: LakeTable, maintain: Maintain
) -> None:
    closed = {date(1970, 1, 1): True, date(1970, 1, 2): False}
    report = maintain(closed)
    assert (report.dates, report.files_before, report.files) == (1, 5, 1)
    assert report.size_before > report.size > 0
    assert (report.checkpoint, report.log_removed, report.vacuumed) == (7, 0, 0)
    assert "00000000000000000007.checkpoint.parquet" in log_files(tmp_path)
    assert report.text().startswith(
        "s: 5 files of 1 dates (0.0 MiB) compacted into 1 (0.0 MiB), checkpoint at version 7"
    )
    repeated = maintain(closed)
    assert (repeated.dates, repeated.version) == (0, report.version)
    assert verify(str(tmp_path), {}).faults == []


def test_cleaning_the_log_changes_no_next_offset_and_no_row(
    tmp_path: Path, table: LakeTable, maintain: Maintain
) -> None:
    rows = DeltaTable(str(tmp_path)).to_pyarrow_table(columns=["partition", "offset", "value"])
    expire_log_at_once(tmp_path)

    report = maintain()

    assert report.log_removed == 8
    assert "00000000000000000000.json" not in log_files(tmp_path)
    after = LakeReader(None, "s")
    assert after.next_offsets() == {("id", 0): 57, ("id", 1): 50}
    assert after.transaction("id/0/empty") == 6
    order = [("partition", "ascending"), ("offset", "ascending")]
    rows_after = after.table.to_pyarrow_table(columns=["partition", "offset", "value"])
    assert rows_after.sort_by(order).equals(rows.sort_by(order))
    verified = verify(str(tmp_path), {})
    assert (verified.faults, verified.rows, verified.empty, verified.unverified) == ([], 101, 6, 0)
    # A sink can resume from there, and only from there.
    sink = LakeTable(str(tmp_path), {})
    result = sink.append([chunk(0, 57, 60), chunk(1, 30, 40)])
    assert [[chunk.start_offset for chunk in chunks] for chunks in (result.committed, result.fenced)] == [[57], [30]]
    assert sink.next_offset("id", 0) == 60
    assert maintain().log_removed > 0
    assert verify(str(tmp_path), {}).faults == []


KILLED = """
import os, signal, sys
from datetime import timedelta
from types import SimpleNamespace
from deltalake import DeltaTable
from deltalake.table import TableOptimizer
from sluice.lake import maintenance

folder, step, moment = sys.argv[1:]
maintenance.table_uri = lambda *_: folder
maintenance.storage_options = lambda *_: {}
owner = TableOptimizer if step == "compact" else DeltaTable
original = getattr(owner, step)

def killed(*args, **kwargs):
    if moment == "after":
        original(*args, **kwargs)
    os.kill(os.getpid(), signal.SIGKILL)

setattr(owner, step, killed)
maintenance.maintain(None, SimpleNamespace(stream="s", lateness=timedelta(0)), {})
"""


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("step", ["compact", "create_checkpoint", "cleanup_metadata", "vacuum"])
def test_killed_at_any_step_the_next_run_finishes(
    tmp_path: Path, table: LakeTable, maintain: Maintain, step: str, moment: str
) -> None:
    expire_log_at_once(tmp_path)
    (tmp_path / "event_date=1970-01-01" / "orphan.parquet").write_bytes(b"left behind")
    os.utime(tmp_path / "event_date=1970-01-01" / "orphan.parquet", (OLD, OLD))
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), step, moment], cwd=ROOT, check=False)
    assert killed.returncode == -9
    assert verify(str(tmp_path), {}).faults == []

    maintain()

    assert maintain().dates == 0
    assert not (tmp_path / "event_date=1970-01-01" / "orphan.parquet").exists()
    assert "00000000000000000000.json" not in log_files(tmp_path)
    assert [len(list(tmp_path.glob(f"event_date=1970-01-0{day}/*.parquet"))) for day in (1, 2)] == [6, 6]
    verified = verify(str(tmp_path), {})
    # Files that were compacted stay until the vacuum of a week later.
    assert (verified.faults, verified.rows, verified.files) == ([], 101, 8)


def test_only_closed_dates_with_several_files_are_compacted() -> None:
    days = [date(2013, 1, 1)] * 2 + [date(2013, 1, 2)] * 2 + [date(2013, 1, 4)] * 2 + [date(2013, 1, 3)]
    files = pa.table({"date": days, "bytes": [1] * 7})
    assert dates_to_compact(files, timedelta(days=1), {}) == [date(2013, 1, 1), date(2013, 1, 2)]
    assert dates_to_compact(files, timedelta(days=3), {}) == []
    # What the warehouse knows takes precedence.
    known = {date(2013, 1, 1): False, date(2013, 1, 4): True}
    assert dates_to_compact(files, timedelta(days=1), known) == [date(2013, 1, 2), date(2013, 1, 4)]
    assert dates_to_compact(files.slice(0, 0), timedelta(0), {}) == []


def test_an_open_date_is_compacted_once_it_has_many_small_files() -> None:
    """Events of random dates arrive for all dates, none of which closes."""
    many, few, large = date(2013, 1, 1), date(2013, 1, 2), date(2013, 1, 3)
    count = maintenance.OPEN_FILES + 1
    days = [many] * count + [few] * (count - 1) + [large] * count
    sizes = [1_000] * count + [1_000] * (count - 1) + [100 << 20] * count
    files = pa.table({"date": days, "bytes": pa.array(sizes, pa.int64())})
    assert dates_to_compact(files, timedelta(days=9), dict.fromkeys([many, few, large], False)) == [many]
