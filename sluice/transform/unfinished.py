"""dbt's record of a run that it began and did not finish, kept so that the same run can go on with it."""

import json
import os
import shutil
from pathlib import Path

RESULTS = "run_results.json"
"""dbt's own record of what it built; `dbt retry` goes on from there."""
_RUN = "run"
"""The file that names the run."""


def keep(folder: Path, run: str, results: Path) -> None:
    """Keeps the record of a run.

    Args:
        folder: belongs to the record alone; what it held goes.
        run: names the run; only retries of the same one may go on with it.
        results: dbt's ``run_results.json`` of it.
    """
    forget(folder)
    draft = folder.with_name(f"{folder.name}.{os.getpid()}")
    draft.mkdir(parents=True)
    shutil.copy(results, draft / RESULTS)
    (draft / _RUN).write_text(run)
    draft.rename(folder)


def load(folder: Path, run: str) -> bool:
    """Whether there is a whole record of this run."""
    try:
        json.loads((folder / RESULTS).read_text())
        return (folder / _RUN).read_text() == run
    except (FileNotFoundError, ValueError):
        # Never begun, or cut off while it was written: beginning anew builds at least as much.
        return False


def forget(folder: Path) -> None:
    """Removes a kept record."""
    if folder.exists():
        shutil.rmtree(folder)
