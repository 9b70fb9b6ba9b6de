"""The models' documentation: dbt's own page of descriptions and lineage, made again when what it tells has changed."""

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from sluice.contracts import Contract
from sluice.settings import Settings
from sluice.transform.dbt import Dbt
from sluice.transform.run import exclusive_dbt_dir
from sluice.transform.sources import write_sources

_WRITTEN_BY_DBT = {"target", "logs", "generated"}
"""Folders that a dbt run by hand leaves in its project."""


def document(settings: Settings, contracts: dict[str, Contract], *, dbt: Dbt) -> bool:
    """Makes the page ``settings.dbt_docs``, unless the one that is there tells of this project and these contracts.

    It is one file that needs nothing else, replaced at once: who reads it sees the old page or the new one. Its
    types of columns are the warehouse's, so a transform should have built the models.

    Args:
        settings: with the transformer's password.
        contracts: by stream; dbt's sources are made from them.
        dbt: what to run.

    Returns:
        Whether it was made.

    Raises:
        TransientError: the warehouse went away.
        TerminalError: dbt found something wrong.
    """
    note = dbt.home / "docs.sha256"
    with exclusive_dbt_dir(dbt.home) as held:
        write_sources(contracts, dbt.generated)
        digest = _digest(dbt)
        if settings.dbt_docs.exists() and note.exists() and note.read_text() == digest:
            return False
        # Compiled SQL would be that of a run with nothing touched, which is no model's.
        dbt.run("docs", "generate", "--static", "--no-compile", inherit_fds=[held])
        draft = settings.dbt_docs.with_suffix(".draft")
        shutil.copy(dbt.home / "target" / "static_index.html", draft)
        draft.replace(settings.dbt_docs)
        note.write_text(digest)
        return True


def _digest(dbt: Dbt) -> str:
    content = hashlib.sha256()
    for folder in (dbt.project, dbt.generated):
        for file in sorted(_files(folder)):
            content.update(f"{file.relative_to(folder)}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return content.hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.is_file():
            yield path
        elif path.name not in _WRITTEN_BY_DBT:
            yield from _files(path)
