"""Opens a table's files for Arrow, and tracks which of them are still open."""

import logging
import time
from typing import Any

import pyarrow as pa
from deltalake.fs import DeltaStorageHandler

log = logging.getLogger(__name__)

_POLL_SECONDS = 0.005
_CLOSE_TIMEOUT = 30.0
"""Seconds to wait for open files; a request to the store has failed long before that."""


class TableFiles(DeltaStorageHandler):
    """The table's files in the store. Arrow prefetches them in its own threads, which can outlive an aborted scan."""

    def __init__(self, uri: str, options: dict[str, str] | None, sizes: dict[str, int]) -> None:
        super().__init__(uri, options, sizes)
        self._uri = uri
        self.open_files: set[int] = set()
        """Ids of the files that Arrow has open. A set, because several threads change it."""

    def open_input_file(self, path: str) -> pa.PythonFile:
        """Opens a file as the base class does, and tracks it until Arrow releases it."""
        return pa.PythonFile(_TrackedFile(super().open_input_file(path), self), mode="r")

    def wait_until_closed(self) -> None:
        """Waits until no file is open. A thread still reading from the store while the process exits would crash it."""
        deadline = time.monotonic() + _CLOSE_TIMEOUT
        while self.open_files:
            if time.monotonic() > deadline:
                log.warning("Arrow still has files open: table=%s files=%d", self._uri, len(self.open_files))
                return
            time.sleep(_POLL_SECONDS)


class _TrackedFile:
    """A file with the methods of another one. They are bound directly, not wrapped, because they are called often."""

    def __init__(self, file: pa.PythonFile, files: TableFiles) -> None:
        for name in ("read", "seek", "tell", "size", "readable", "seekable", "writable", "close"):
            setattr(self, name, getattr(file, name))
        self._file = file
        self._files = files
        files.open_files.add(id(self))

    @property
    def closed(self) -> Any:
        return self._file.closed

    def __del__(self) -> None:
        self._files.open_files.discard(id(self))
