"""Parts of ranges of offsets, kept until a range is whole: in memory up to a limit, beyond it in temporary files."""

import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

_SCHEMA = pa.schema([("offset", pa.int64()), ("value", pa.binary())])


class SpillBuffer:
    """Rows by range. Close it: its files go with it."""

    def __init__(self, limit: int) -> None:
        """Makes an empty one that holds up to ``limit`` bytes in memory."""
        self._limit = limit
        self._held: dict[int, list[pa.RecordBatch]] = {}
        self._size = 0
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._files: list[pa.ipc.RecordBatchFileReader] = []
        self._written: dict[int, list[tuple[int, int]]] = {}
        """Per range: file and batch of each of its parts there."""

    def add(self, key: int, offsets: npt.NDArray[np.int64], values: pa.Array) -> None:
        """Keeps rows of a range. The values are copied: a slice would keep all that it is a slice of."""
        rows = pa.record_batch([pa.array(offsets), values.take(pa.array(np.arange(len(values))))], schema=_SCHEMA)
        self._held.setdefault(key, []).append(rows)
        self._size += rows.nbytes
        if self._size > self._limit:
            self._write()

    def take(self, key: int) -> pa.Table:
        """All rows of a range, ascending by offset; they are kept no longer."""
        held = self._held.pop(key, [])
        self._size -= sum(rows.nbytes for rows in held)
        written = [self._files[file].get_batch(index) for file, index in self._written.pop(key, [])]
        rows = pa.Table.from_batches([*written, *held], _SCHEMA)
        offsets = rows["offset"].to_numpy()
        if np.any(offsets[1:] < offsets[:-1]):
            rows = rows.take(pa.array(np.argsort(offsets, kind="stable")))
        return rows

    def close(self) -> None:
        """Removes the files."""
        self._files.clear()
        if self._folder is not None:
            self._folder.cleanup()

    def _write(self) -> None:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="sluice-verify-")
        path = str(Path(self._folder.name) / f"{len(self._files)}.arrow")
        with pa.ipc.new_file(path, _SCHEMA) as file:
            index = 0
            for key, parts in self._held.items():
                for part in parts:
                    file.write_batch(part)
                    self._written.setdefault(key, []).append((len(self._files), index))
                    index += 1
        self._files.append(pa.ipc.open_file(pa.memory_map(path)))
        self._held.clear()
        self._size = 0
