"""A process can exit right after a failed or abandoned scan: no Arrow thread still calls Python."""

import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.fs
import pytest
from deltalake import DeltaTable, write_deltalake
from deltalake.fs import DeltaStorageHandler

from sluice.lake import files
from sluice.lake.layout import PARTITION_COLUMN, SCHEMA
from sluice.settings import ROOT

FILES, ROWS, VALUE_BYTES = 24, 5_000, 100
PROGRAM = """
import sys
from sluice.errors import TerminalError
from sluice.lake import reader
from sluice.lake.ranges import Range

how, folder = sys.argv[1:]
# A reader of a table in a folder, not in a store.
reader.table_uri, reader.storage_options = lambda *_: folder, lambda *_: {}
lake = reader.LakeReader(None, "s")
try:
    for batch in lake.batches(lake.files, [Range("t", 0, 0, 1 << 40)], ["topic_id", "partition", "offset", "value"]):
        if how == "abandoned":
            break
except TerminalError as error:
    assert "is corrupt" in str(error)
else:
    assert how == "abandoned"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(FILES):
        rows = pa.Table.from_pydict(
            {
                **{field.name: pa.nulls(ROWS, field.type) for field in SCHEMA},
                "topic_id": pa.repeat("t", ROWS),
                "partition": pa.repeat(pa.scalar(0, pa.int32()), ROWS),
                "offset": pa.array(range(number * ROWS, (number + 1) * ROWS), pa.int64()),
                "value": pa.array([os.urandom(VALUE_BYTES) for _ in range(ROWS)]),
                PARTITION_COLUMN: pa.repeat(pa.scalar(date(2013, 1, 1)), ROWS),
            },
            SCHEMA,
        )
        write_deltalake(tmp_path, rows, mode="append", partition_by=[PARTITION_COLUMN])
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


def test_files_are_read_in_order_and_a_bounded_number_of_bytes_ahead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_READ_AHEAD_BYTES", 100)
    contents = {f"{number:03d}": os.urandom(size) for number, size in enumerate([30, 30, 30, 30, 500, 1, 0, *[9] * 20])}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    filesystem = pa.fs.PyFileSystem(DeltaStorageHandler(str(tmp_path)))
    opened: list[str] = []

    def read_file(_: pa.fs.FileSystem, path: str) -> pa.Buffer:
        opened.append(path)
        return original(filesystem, path)

    original = files.read_file
    monkeypatch.setattr(files, "read_file", read_file)
    sizes = [len(content) for content in contents.values()]
    for number, content in enumerate(files.read_files(filesystem, list(contents), sizes)):
        assert content.to_pybytes() == contents[f"{number:03d}"]
        ahead = sizes[number + 1 : len(opened)]
        assert len(ahead) < 4
        assert sum(ahead) <= 100 or len(ahead) == 1
    assert sorted(opened) == list(contents)
