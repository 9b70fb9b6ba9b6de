"""A process can exit right after a failed or abandoned scan: no Arrow thread is still reading a file."""

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from sluice.settings import ROOT

FILES, ROWS, VALUE_BYTES = 24, 5_000, 100
PROGRAM = """
import sys
import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable
from pyarrow.fs import PyFileSystem
from sluice.errors import TerminalError
from sluice.lake import reader
from sluice.lake.files import TableFiles

how, folder = sys.argv[1:]
table = DeltaTable(folder)
# A reader of a table in a folder, not in a store.
lake = reader.LakeReader.__new__(reader.LakeReader)
lake.uri, lake.table, lake.files = folder, table, pa.table(table.get_add_actions(flatten=True))
paths = lake.files["path"].to_pylist()
lake._store = TableFiles(folder, None, dict(zip(paths, lake.files["size_bytes"].to_pylist())))
lake._filesystem, lake._format = PyFileSystem(lake._store), ds.ParquetFileFormat()
reader.SCHEMA = table.to_pyarrow_dataset().schema
fragments = [lake._format.make_fragment(path, lake._filesystem) for path in paths]
try:
    for batch in lake._scan(fragments, ["value"], None):
        if how == "abandoned":
            break
except TerminalError as error:
    assert "a data file is corrupt" in str(error)
else:
    assert how == "abandoned"
assert not lake._store.open_files
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for _ in range(FILES):
        rows = pa.table({"value": pa.array([os.urandom(VALUE_BYTES) for _ in range(ROWS)])})
        write_deltalake(tmp_path, rows, mode="append")
    return tmp_path


@pytest.mark.parametrize("how", ["abandoned", "corrupt"])
def test_a_process_exits_cleanly_after_an_incomplete_scan(folder: Path, how: str) -> None:
    if how == "corrupt":
        path = folder / pa.table(DeltaTable(folder).get_add_actions(flatten=True))["path"][1].as_py()
        data = path.read_bytes()
        path.write_bytes(data[:1000] + bytes(len(data) // 2) + data[1000 + len(data) // 2 :])
    for _ in range(3):
        command = [sys.executable, "-c", PROGRAM, how, str(folder)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, "")
