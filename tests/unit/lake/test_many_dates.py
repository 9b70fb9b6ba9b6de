"""Commits of thousands of dates: what they recorded is archived, verified and looked up in little memory."""

import json
import tracemalloc
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from deltalake.fs import DeltaStorageHandler
from pyarrow.fs import PyFileSystem

from sluice.lake import commit_log
from sluice.lake.commit_log import CommitLog
from sluice.lake.layout import RANGES_KEY
from sluice.lake.ranges import DateHash, Range
from sluice.lake.table import LakeTable

VERSIONS, DATES = 40, 4_000
FIRST_DAY = date(2010, 1, 1)
HASH, DATE_HASH = "ab" * 32, "cd" * 16
PYTHON_BYTES, ARROW_BYTES = 24 << 20, 16 << 20
"""As Python's objects, what is recorded of the 160,000 dates takes 35 to 110 MB."""


def _ranges(version: int, dates: int) -> list[dict[str, Any]]:
    start = (version - 1) * dates
    recorded = {(FIRST_DAY + timedelta(day)).isoformat(): [1, DATE_HASH] for day in range(dates)}
    return [
        {"topic_id": "t", "partition": 0, "first": start, "next": start + dates, "rows": dates, "hash": HASH}
        | {"dates": recorded}
    ]


def _commit(folder: Path, version: int, dates: int = DATES) -> None:
    """Writes a version's log only: no data file is read here."""
    actions = [
        {"commitInfo": {"timestamp": version, "operation": "WRITE", RANGES_KEY: json.dumps(_ranges(version, dates))}},
        {"txn": {"appId": "t/0", "version": version * dates}},
    ]
    (folder / "_delta_log" / f"{version:020d}.json").write_text("\n".join(map(json.dumps, actions)))


def _log(folder: Path) -> CommitLog:
    uri = str(folder)
    return CommitLog(uri, PyFileSystem(DeltaStorageHandler(uri, {})), DeltaTable(uri).version())


def _lake(folder: Path, versions: int, dates: int) -> Path:
    LakeTable(str(folder), {}).create()
    for version in range(1, versions + 1):
        _commit(folder, version, dates)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return _lake(tmp_path, VERSIONS, DATES)


def _forget_log(folder: Path) -> None:
    """Archives the log and cleans it."""
    DeltaTable(str(folder)).create_checkpoint()
    _log(folder).archive()
    for version in range(VERSIONS):
        (folder / "_delta_log" / f"{version:020d}.json").unlink()


def _measure(run: Callable[[], Any]) -> Any:
    """Returns a call's result, and requires that it took little memory."""
    default, counted = pa.default_memory_pool(), pa.proxy_memory_pool(pa.system_memory_pool())
    pa.set_memory_pool(counted)
    tracemalloc.start()
    try:
        result = run()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        pa.set_memory_pool(default)
    assert peak < PYTHON_BYTES
    assert counted.max_memory() < ARROW_BYTES
    return result


def test_archiving_many_dates_takes_little_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit_log, "_ARCHIVED_ROWS", 10 * DATES)
    assert _measure(_log(folder).archive) == VERSIONS + 1
    objects = sorted(folder.glob("_ranges/*.parquet"))
    assert [path.stem[-3:] for path in objects] == ["010", "020", "030", "040"]
    assert [pq.read_metadata(path).num_rows for path in objects] == [10 * DATES] * 4
    # All of them are read in turn.
    assert len(_log(folder).date_commits(FIRST_DAY, newest_file=0)) == VERSIONS


@pytest.mark.parametrize("archived", [False, True])
def test_the_ranges_for_verify_take_little_memory(folder: Path, archived: bool) -> None:
    if archived:
        _forget_log(folder)
    history = _measure(_log(folder).history)
    assert (history.oldest, history.commits, history.faults) == (0, VERSIONS, [])
    assert [(found.start_offset, found.rows, found.hash) for found in history.ranges] == [
        (number * DATES, DATES, HASH) for number in range(VERSIONS)
    ]


@pytest.mark.parametrize("archived", [False, True])
def test_the_commits_of_one_date_take_little_memory(folder: Path, archived: bool) -> None:
    if archived:
        _forget_log(folder)
    day = FIRST_DAY + timedelta(DATES - 1)
    commits = _measure(lambda: _log(folder).date_commits(day, newest_file=1 << 50))
    assert [found.version for found in commits] == list(range(1, VERSIONS + 1))
    assert all(found.dates == {day: DateHash(1, DATE_HASH)} for found in commits)
    assert _log(folder).date_commits(day + timedelta(1), newest_file=1 << 50) == []


@pytest.mark.parametrize("archived", [False, True])
def test_a_backlog_of_many_dates_takes_little_memory(folder: Path, archived: bool) -> None:
    if archived:
        _forget_log(folder)
    parts = _measure(lambda: list(_log(folder).slices([Range("t", 0, 0, VERSIONS * DATES)])))
    assert [found.version for part in parts for found in part.commits] == list(range(1, VERSIONS + 1))


@pytest.mark.parametrize("rows", [1, 5, 1_000])
def test_the_archive_is_the_same_wherever_its_objects_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr(commit_log, "_ARCHIVED_ROWS", rows)
    monkeypatch.setattr(commit_log, "SLICE", 3)
    folder = _lake(tmp_path, 8, 3)
    expected = [(number, DateHash(1, DATE_HASH)) for number in range(1, 9)]
    _log(folder).archive()
    for path in folder.glob("_delta_log/*.json"):
        if int(path.stem) not in (0, 8):
            _commit(folder, int(path.stem), dates=0)
    assert [
        (found.version, found.dates[FIRST_DAY]) for found in _log(folder).date_commits(FIRST_DAY, newest_file=0)
    ] == expected
    # Nothing is new, so nothing is archived.
    assert _log(folder).archive() == 0
    assert len(list(folder.glob("_ranges/*.parquet"))) == {1: 8, 5: 4, 1_000: 1}[rows]


def test_a_log_that_is_cleaned_while_it_is_read_has_no_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = _lake(tmp_path, 8, 3)
    DeltaTable(str(folder)).create_checkpoint()
    log = _log(folder)
    log.archive()
    listed = log._oldest_and_checkpoints()
    monkeypatch.setattr(log, "_oldest_and_checkpoints", lambda: listed)
    for version in range(5):
        (folder / "_delta_log" / f"{version:020d}.json").unlink()
    history = log.history()
    assert (history.faults, history.commits, history.oldest) == ([], 8, 0)
