"""The files of a folder of contracts."""

import re
import stat
from pathlib import Path

from sluice.contracts.strict_yaml import MAX_BYTES
from sluice.errors import TerminalError

_SUFFIX = ".yaml"
_YAML_SUFFIXES = (_SUFFIX, ".yml")
_PUT_ASIDE = ("~", "#", ".bak", ".old", ".orig", ".off", ".disabled", ".swp", ".tmp", ".md")
"""Ends of names that editors give to copies, or people to files that should not be read."""
_STREAM_KEY = re.compile(rb'^\s*\{?\s*"?stream"?\s*:', re.MULTILINE)
_HEAD_BYTES = 4_096


def candidates(folder: Path) -> list[Path]:
    """Returns the files of a folder that are contracts, or that their author may believe to be contracts.

    These are all YAML files, also in subfolders, and files of any other name that declare a stream. Hidden files belong
    to editors, version control and Kubernetes.
    """
    return [
        path
        for path in sorted(folder.rglob("*"))
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and (path.suffix.lower() in _YAML_SUFFIXES or (path.parent == folder and _declares_a_stream(path)))
    ]


def check_name(path: Path, folder: Path) -> None:
    """Raises a TerminalError if the contract is not where contracts are read."""
    if path.parent != folder or path.suffix != _SUFFIX:
        raise TerminalError(
            f"{path}: line 1: this looks like a contract, but only {folder}/<stream>{_SUFFIX} is read",
            f"rename it to {folder}/<stream>{_SUFFIX}, or move it away",
        )


def read(path: Path) -> bytes:
    """Returns a file's content, or the first part of one that is too large for a contract.

    Raises:
        OSError: it is not a readable file.
    """
    # A pipe could block for ever.
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError("not a file")
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)


def contracts_version(folder: Path) -> list[tuple[str, int, int]]:
    """Returns a value that differs once a contract has changed: each file's name, time of change and size."""
    versions = []
    for path in candidates(folder):
        try:
            status = path.stat()
        except OSError:
            # A broken link, or a file that was deleted meanwhile. It counts when it is there again.
            continue
        versions.append((str(path), status.st_mtime_ns, status.st_size))
    return versions


def _declares_a_stream(path: Path) -> bool:
    if path.name.endswith(_PUT_ASIDE) or not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            return _STREAM_KEY.search(file.read(_HEAD_BYTES)) is not None
    except OSError:
        return False
