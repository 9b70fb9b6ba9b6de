"""The files of a dbt project as one value, so that the warehouse can keep the project that it was last built from."""

import io
import shutil
import tarfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

_WRITTEN_BY_DBT = {"target", "logs", "generated", "dbt_packages"}
"""Folders that dbt writes to its project when it is run without this package."""


def project_files(folder: Path) -> list[Path]:
    """Returns the files of a project, sorted, without hidden ones and those that dbt has written."""
    return sorted(_walk(folder))


def pack(folder: Path) -> bytes:
    """Returns the files of a project as a compressed tar archive."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for file in project_files(folder):
            # The content of a link: what it points to may change.
            member = tarfile.TarInfo(str(file.relative_to(folder)))
            data = file.read_bytes()
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return content.getvalue()


def unpack(content: bytes, folder: Path) -> None:
    """Replaces a folder with the files of an archive."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        archive.extractall(folder, filter="data")


def differing_files(one: Path, other: Path) -> list[str]:
    """Returns the paths of files that two projects do not have in common, sorted."""
    digests = [
        {str(file.relative_to(folder)): sha256(file.read_bytes()).digest() for file in project_files(folder)}
        for folder in (one, other)
    ]
    return sorted({path for path, _ in digests[0].items() ^ digests[1].items()})


def _walk(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name.startswith(".") or path.name in _WRITTEN_BY_DBT:
            continue
        if path.is_dir():
            yield from _walk(path)
        elif path.is_file():
            yield path
