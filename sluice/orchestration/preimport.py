"""Airflow's command line with the tasks' packages imported beforehand, for the scheduler or worker that runs them.

Both fork a process per task. A task finds in memory what they have imported and imports the rest itself; Arrow and
Delta take most of a second of CPU time, more than most loads. The platform's own modules are left to the tasks, so
that a change to them takes effect with the next task.
"""

import gc
from importlib import import_module

from airflow.__main__ import main

PACKAGES = (
    "airflow.sdk.execution_time.supervisor",
    "airflow.sdk.execution_time.task_runner",
    "deltalake",
    "kafka",
    "minio",
    "pgpq",
    "psycopg",
    "pyarrow.compute",
    "pyarrow.dataset",
    "pyarrow.fs",
    "pydantic_settings",
    "yaml",
)

if __name__ == "__main__":
    for package in PACKAGES:
        import_module(package)
    # LocalExecutor freezes what is in memory, forks its workers and unfreezes it: the scheduler's next garbage
    # collection would write to all of that memory, which copies what the scheduler shares with them.
    gc.unfreeze = lambda: None
    main()  # type: ignore[no-untyped-call]
