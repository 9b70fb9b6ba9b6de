"""dbt's record of a run that failed, kept so that a retry of the same run can resume it."""

import json
import os
import shutil
from pathlib import Path

RESULTS = "run_results.json"
"""dbt's own record of an invocation; `dbt retry` resumes from it."""
_RUN = "run"
"""The file that names the run."""


def keep(folder: Path, run: str, results: Path) -> None:
    """Keeps the record of a run.

    Args:
        folder: the record's own folder; its content is replaced.
        run: name of the run; only a retry of the same run may resume it.
        results: the run's ``run_results.json``.
    """
    forget(folder)
    draft = folder.with_name(f"{folder.name}.{os.getpid()}")
    draft.mkdir(parents=True)
    shutil.copy(results, draft / RESULTS)
    (draft / _RUN).write_text(run)
    draft.rename(folder)


def is_kept(folder: Path, run: str) -> bool:
    """Returns whether there is a complete record of this run."""
    try:
        json.loads((folder / RESULTS).read_text())
        return (folder / _RUN).read_text() == run
    except (FileNotFoundError, ValueError):
        # Never written, or incomplete. A run that starts from scratch builds at least the same.
        return False


def forget(folder: Path) -> None:
    """Removes a kept record."""
    if folder.exists():
        shutil.rmtree(folder)
