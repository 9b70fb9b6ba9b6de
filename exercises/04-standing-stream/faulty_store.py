"""The disk of a check: the given store, which fails once at each of three records, named in ``faults.json``."""

import errno
import json
import os
import signal
from pathlib import Path
from typing import Any

from plain_store import Store as PlainStore


class Store(PlainStore):
    """Kills its process before it writes one record and before it rejects one, and has no space for another one."""

    def write(self, partition: int, offset: int, reading: dict[str, Any]) -> None:
        """Adds a reading, unless a fault is due."""
        self._fail_once(partition, offset)
        super().write(partition, offset, reading)

    def reject(self, partition: int, offset: int, reason: str, value: bytes | None) -> None:
        """Adds a record that is not a reading, unless a fault is due."""
        self._fail_once(partition, offset)
        super().reject(partition, offset, reason, value)

    def _fail_once(self, partition: int, offset: int) -> None:
        faults = json.loads(Path(__file__).with_name("faults.json").read_text())
        kind = faults.get(f"{partition}/{offset}")
        fired = self._folder / f"fault-{partition}-{offset}"
        if kind is None or fired.exists():
            return
        fired.touch()
        if kind == "full":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.kill(os.getpid(), signal.SIGKILL)
