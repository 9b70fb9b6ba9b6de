"""The models' documentation: dbt's own page of descriptions and lineage, regenerated when the project changes."""

import shutil
from pathlib import Path

from sluice.contracts import Contract
from sluice.settings import Settings
from sluice.transform.dbt import Dbt
from sluice.transform.exclusive import exclusive_dbt_dir
from sluice.transform.project import project_digest
from sluice.transform.sources import declare_sources


def document(settings: Settings, contracts: dict[str, Contract], *, dbt: Dbt) -> bool:
    """Generates the page ``settings.dbt_docs``, unless it already describes this project and these contracts.

    The page is a single file and is replaced atomically: readers see the old page or the new one. Its column types
    come from the warehouse, so the models should have been built.

    Args:
        settings: with the transformer's password.
        contracts: by stream; dbt's sources are derived from them.
        dbt: runs the command.

    Returns:
        Whether the page was generated.

    Raises:
        TransientError: the connection to the warehouse was lost.
        TerminalError: dbt reported an error.
    """
    with exclusive_dbt_dir(dbt.home) as lock_fd:
        declare_sources(contracts, dbt)
        if is_documented(settings, dbt=dbt):
            return False
        digest = project_digest(dbt)
        # Compiled now, the SQL would be for a run without stale dates, which never happens.
        dbt.run("docs", "generate", "--static", "--no-compile", inherit_fds=[lock_fd])
        draft = settings.dbt_docs.with_suffix(".draft")
        shutil.copy(dbt.home / "target" / "static_index.html", draft)
        draft.replace(settings.dbt_docs)
        _digest_file(dbt).write_text(digest)
        return True


def is_documented(settings: Settings, *, dbt: Dbt) -> bool:
    """Returns whether the page describes the project as its files and the generated sources are now."""
    file = _digest_file(dbt)
    return settings.dbt_docs.exists() and file.exists() and file.read_text() == project_digest(dbt)


def _digest_file(dbt: Dbt) -> Path:
    return dbt.home / "docs.sha256"
