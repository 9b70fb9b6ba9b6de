"""The files that the consumer writes. Use it as it is: the check has a disk of its own."""

import base64
import json
from pathlib import Path
from typing import Any


class Store:
    """Two files, with one JSON object per line.

    Each call returns once its line is written, and raises an OSError if it cannot be: the disk may be full.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder

    def write(self, partition: int, offset: int, reading: dict[str, Any]) -> None:
        """Adds a reading to ``readings.jsonl``."""
        self._append("readings.jsonl", {"partition": partition, "offset": offset, "reading": reading})

    def reject(self, partition: int, offset: int, reason: str, value: bytes | None) -> None:
        """Adds a record that is not a reading to ``rejected.jsonl``, with the reason and its bytes."""
        kept = None if value is None else base64.b64encode(value).decode()
        self._append("rejected.jsonl", {"partition": partition, "offset": offset, "reason": reason, "value": kept})

    def _append(self, name: str, line: dict[str, Any]) -> None:
        with (self._folder / name).open("a") as file:
            file.write(json.dumps(line) + "\n")
