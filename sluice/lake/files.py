"""Reads whole files of a table into Arrow's memory.

When Arrow scans a file that Python opened, its own threads call Python, even after the scan has been aborted. Such a
call aborts a process that is about to exit. Arrow therefore scans files in memory only.
"""

from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pyarrow as pa
from pyarrow.fs import FileSystem

_READ_AHEAD_FILES = 4
_READ_AHEAD_BYTES = 32 << 20


def read_file(filesystem: FileSystem, path: str) -> pa.Buffer:
    """Returns a file's bytes in memory that Arrow can free without calling Python.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: the store is down or rejects the request.
    """
    with filesystem.open_input_file(path) as file:
        buffer = pa.allocate_buffer(file.size())
        return buffer.slice(0, file.readinto(buffer))


def read_files(filesystem: FileSystem, paths: Sequence[str], sizes: Sequence[int]) -> Generator[pa.Buffer]:
    """Yields the bytes of each file, in order. Other threads read up to 4 files or 32 MiB ahead.

    Args:
        filesystem: the table's folder.
        paths: the files.
        sizes: their sizes in bytes.

    Raises:
        FileNotFoundError, OSError: as ``read_file``.
    """
    pending: deque[tuple[int, Future[pa.Buffer]]] = deque()
    waiting = deque(zip(paths, sizes, strict=True))
    with ThreadPoolExecutor(_READ_AHEAD_FILES) as executor:
        try:
            while waiting or pending:
                while waiting and (not pending or _fits(pending, waiting[0][1])):
                    path, size = waiting.popleft()
                    pending.append((size, executor.submit(read_file, filesystem, path)))
                yield pending.popleft()[1].result()
        finally:
            executor.shutdown(cancel_futures=True)


def _fits(pending: Sequence[tuple[int, object]], size: int) -> bool:
    return len(pending) < _READ_AHEAD_FILES and sum(size for size, _ in pending) + size <= _READ_AHEAD_BYTES
