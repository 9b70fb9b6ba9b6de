"""Maintenance on a table in a folder: what no commit names goes when it is old enough, and nothing else."""

import os
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from sluice.lake import maintenance
from sluice.lake.chunk import Chunk, record_columns
from sluice.lake.table import LakeTable

OLD = time.time() - (maintenance.VACUUM_HOURS + 1) * 3600


@pytest.fixture
def maintain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], maintenance.MaintenanceReport]:
    monkeypatch.setattr(maintenance, "table_uri", lambda *_: str(tmp_path))
    monkeypatch.setattr(maintenance, "storage_options", lambda *_: {})
    return lambda: maintenance.maintain(None, SimpleNamespace(stream="s", lateness=timedelta(0)))


def test_old_files_that_no_commit_ever_named_are_removed(
    tmp_path: Path, maintain: Callable[[], maintenance.MaintenanceReport]
) -> None:
    table = LakeTable(str(tmp_path), {})
    table.create()
    rows = record_columns("id", 0, [0], [0], [None], [b"v"], [None])
    table.append([Chunk("id", 0, 0, 1, rows)])
    (named,) = tmp_path.glob("event_date=*/*.parquet")
    # As a sink leaves them that was killed between its files and its commit; one is as young as a commit under way.
    old, young = named.with_name("old.parquet"), named.with_name("young.parquet")
    for path in (old, young):
        path.write_bytes(named.read_bytes())
    os.utime(old, (OLD, OLD))
    os.utime(named, (OLD, OLD))

    assert maintain().vacuumed == 1

    assert not old.exists()
    assert young.exists()
    assert named.exists()
