"""Airflow's command line with the packages of tasks already imported, for the scheduler or worker that runs them.

Both fork a process per task. What they have imported, a task finds in memory; what they have not, each task imports
for itself, and Arrow and Delta take most of a second of processor time: more than most loads. The platform's own
modules are left to the tasks, so that a change of them holds from the next task on.
"""

from importlib import import_module

from airflow.__main__ import main

PACKAGES = (
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
    main()  # type: ignore[no-untyped-call]
