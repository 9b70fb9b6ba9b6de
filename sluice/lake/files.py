"""A table's files as Arrow reads them, and which of them it still has open."""

import logging
import time
from typing import Any

import pyarrow as pa
from deltalake.fs import DeltaStorageHandler

log = logging.getLogger(__name__)

_POLL = 0.005
_PATIENCE = 30.0
"""Seconds after which an open file is left open: a request to the store has long failed by then."""


class TableFiles(DeltaStorageHandler):
    """The store's files. Arrow reads them ahead in threads of its own, which outlive a scan that fails or is left."""

    def __init__(self, uri: str, options: dict[str, str] | None, sizes: dict[str, int]) -> None:
        super().__init__(uri, options, sizes)
        self._uri = uri
        self.opened: set[int] = set()
        """Of files that Arrow has open. A set, as several threads change it."""

    def open_input_file(self, path: str) -> pa.PythonFile:
        """As the base class says; the file is noted until Arrow has let go of it."""
        return pa.PythonFile(_Noted(super().open_input_file(path), self), mode="r")

    def settle(self) -> None:
        """Waits until no file is open. A thread that came back from the store to a process that ends would crash it."""
        until = time.monotonic() + _PATIENCE
        while self.opened:
            if time.monotonic() > until:
                log.warning("%s: Arrow still has %d files open", self._uri, len(self.opened))
                return
            time.sleep(_POLL)


class _Noted:
    """A file whose methods are those of another one; they are not called through here, as there are many calls."""

    def __init__(self, file: pa.PythonFile, files: TableFiles) -> None:
        for name in ("read", "seek", "tell", "size", "readable", "seekable", "writable", "close"):
            setattr(self, name, getattr(file, name))
        self._file = file
        self._files = files
        files.opened.add(id(self))

    @property
    def closed(self) -> Any:
        return self._file.closed

    def __del__(self) -> None:
        self._files.opened.discard(id(self))
