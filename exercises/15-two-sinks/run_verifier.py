"""Runs a learner's verifier on tables, in a process of its own: ``run_verifier.py FOLDER TABLES RESULT``.

The files are JSON.
"""

import importlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

Sent = dict[int, list[bytes]]
"""Values by partition, in the order of offsets."""


def verify(uri: str, options: dict[str, str], sent: Sent) -> list[tuple[str, int, int]]:
    """Returns the faults that the learner's verifier finds in a table.

    Raises:
        TypeError: it returns something else.
    """
    faults = importlib.import_module("verify").find_faults(uri, options, sent)
    if not isinstance(faults, Sequence) or isinstance(faults, str):
        raise TypeError(f"find_faults returns {faults!r}, expected a list")
    try:
        return [(str(kind), int(partition), int(offset)) for kind, partition, offset in faults]
    except (TypeError, ValueError):
        raise TypeError(f"find_faults returns {faults!r}, expected (kind, partition, offset) in the list") from None


def end_with(path: str, result: Any) -> NoReturn:
    """Writes a result as JSON in one step, so that what is there is complete, and ends the process."""
    draft = Path(f"{path}.draft")
    draft.write_text(json.dumps(result))
    draft.replace(path)
    # Arrow's threads, with which a verifier may have read a table, call Python until the end: a usual exit may abort.
    os._exit(0)


def main(folder: str, source: str, target: str) -> NoReturn:
    """Writes the faults of each table."""
    sys.path.insert(0, folder)
    given = json.loads(Path(source).read_text())

    def sent() -> Sent:
        # Again for each table: the verifier may change it.
        return {int(partition): [bytes.fromhex(text) for text in texts] for partition, texts in given["sent"].items()}

    end_with(target, [verify(uri, {}, sent()) for uri in given["uris"]])


if __name__ == "__main__":
    main(*sys.argv[1:4])
