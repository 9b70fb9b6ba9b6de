"""Writes the files that a command generates: all of them, or none."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from sluice.errors import TerminalError


def write_files(files: Mapping[Path, bytes]) -> None:
    """Writes files, each atomically and in the given order; if one cannot be written, all are as they were.

    Raises:
        TerminalError: a file cannot be written.
    """
    previous: dict[Path, bytes | None] = {}
    drafts: dict[Path, Path] = {}
    replaced: list[Path] = []
    path = next(iter(files))
    try:
        for path, content in files.items():
            previous[path] = path.read_bytes() if path.exists() else None
            path.parent.mkdir(parents=True, exist_ok=True)
            drafts[path] = _draft(path, content)
        for path, draft in drafts.items():
            draft.replace(path)
            replaced.append(path)
    except BaseException as error:
        for restored in replaced:
            before = previous[restored]
            if before is None:
                restored.unlink()
            else:
                _draft(restored, before).replace(restored)
        if isinstance(error, OSError):
            raise TerminalError(
                f"{path} cannot be written, so nothing was: {error.strerror or error}", "make its folder writable"
            ) from None
        raise
    finally:
        for draft in drafts.values():
            draft.unlink(missing_ok=True)


def _draft(path: Path, content: bytes) -> Path:
    """Returns a new hidden file beside ``path``, with the permissions of other new files."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=".draft")
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    draft = Path(name)
    mask = os.umask(0)
    os.umask(mask)
    draft.chmod(0o666 & ~mask)
    return draft
