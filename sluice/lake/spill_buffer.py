"""Buffers parts of offset ranges until a range is complete: in memory up to a limit, then in temporary files."""

import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

_SCHEMA = pa.schema([("offset", pa.int64()), ("value", pa.binary())])


class SpillBuffer:
    """Rows by range. Closing the buffer deletes its files."""

    def __init__(self, limit: int) -> None:
        """Creates an empty buffer with up to ``limit`` bytes in memory."""
        self._limit = limit
        self._in_memory: dict[int, list[pa.RecordBatch]] = {}
        self._size = 0
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._files: list[pa.ipc.RecordBatchFileReader] = []
        self._spilled: dict[int, list[tuple[int, int]]] = {}
        """Per range, the file and batch number of each spilled part."""

    def add(self, key: int, offsets: npt.NDArray[np.int64], values: pa.Array) -> None:
        """Adds rows of a range. The values are copied, because a slice would keep its whole parent array alive."""
        rows = pa.record_batch([pa.array(offsets), values.take(pa.array(np.arange(len(values))))], schema=_SCHEMA)
        self._in_memory.setdefault(key, []).append(rows)
        self._size += rows.nbytes
        if self._size > self._limit:
            self._spill()

    def take(self, key: int) -> pa.Table:
        """Removes and returns all rows of a range, sorted by offset."""
        in_memory = self._in_memory.pop(key, [])
        self._size -= sum(rows.nbytes for rows in in_memory)
        spilled = [self._files[file].get_batch(index) for file, index in self._spilled.pop(key, [])]
        rows = pa.Table.from_batches([*spilled, *in_memory], _SCHEMA)
        offsets = rows["offset"].to_numpy()
        if np.any(offsets[1:] < offsets[:-1]):
            rows = rows.take(pa.array(np.argsort(offsets, kind="stable")))
        return rows

    def close(self) -> None:
        """Deletes the temporary files."""
        self._files.clear()
        if self._folder is not None:
            self._folder.cleanup()

    def _spill(self) -> None:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="sluice-verify-")
        path = str(Path(self._folder.name) / f"{len(self._files)}.arrow")
        with pa.ipc.new_file(path, _SCHEMA) as file:
            index = 0
            for key, parts in self._in_memory.items():
                for part in parts:
                    file.write_batch(part)
                    self._spilled.setdefault(key, []).append((len(self._files), index))
                    index += 1
        self._files.append(pa.ipc.open_file(pa.memory_map(path)))
        self._in_memory.clear()
        self._size = 0
