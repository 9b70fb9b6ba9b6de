"""Removes Airflow's records of old runs: rows of its metadata and log files.

A process of its own rather than a DAG: tasks have no access to the metadata, and need none
(``docs/decisions/0010-airflow-retention.md``).
"""

import os
import re
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from infra.processes.steps import print_line
from infra.servers import airflow
from sluice.errors import TransientError
from sluice.settings import load_settings

RETENTION = timedelta(days=30)
INITIAL_DELAY = timedelta(hours=1)
"""The first clean-up must not slow down a launch."""
INTERVAL = timedelta(days=1)
TABLES = (
    *("asset_event", "dag_run", "job", "log", "revoked_token", "session"),
    *("task_instance", "task_instance_history", "task_reschedule", "trigger", "xcom"),
)
"""The tables that grow with each run, request or login. Airflow keeps each DAG's last scheduled run, however old."""
_BATCH = 10_000
"""Rows per transaction, so that the scheduler can work in between."""
_ROW_COUNT = re.compile(r"^Checking table (\w+)\nFound (\d+) rows", re.MULTILINE)


def clean(logs: Path, before: datetime, environment: dict[str, str]) -> str:
    """Removes rows and log files older than ``before``.

    Args:
        logs: Airflow's log folder.
        before: a time with its time zone.
        environment: Airflow's configuration, including the metadata's address.

    Returns:
        A log line with the number of removed rows per table, of log files and of their KiB.

    Raises:
        TransientError: Airflow's command failed; rows removed until then stay removed.
    """
    command = airflow.command("db", "clean", "--yes", "--skip-archive", "--error-on-cleanup-failure")
    command += ["--tables", ",".join(TABLES), "--batch-size", str(_BATCH)]
    command += ["--clean-before-timestamp", before.isoformat()]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        output = done.stderr.strip().splitlines() or ["no output"]
        raise TransientError(
            f"`airflow db clean` failed: {output[-1]}", "check that Postgres is up; the next attempt follows in a day"
        )
    rows = [f"{table}={count}" for table, count in _ROW_COUNT.findall(done.stdout) if int(count)]
    files, size = _remove_logs(logs, before)
    fields = [f"before={before:%Y-%m-%d}", *rows, f"log_files={files}", f"log_kib={size >> 10}"]
    return f"removed old runs: {' '.join(fields)}"


def _remove_logs(folder: Path, before: datetime) -> tuple[int, int]:
    """Removes old log files and the folders that this empties; returns the number of files and their bytes."""
    count = size = 0
    shrunk: set[Path] = set()
    for name, _, files in os.walk(folder, topdown=False):
        parent = Path(name)
        for path in (parent / file for file in files):
            stat = path.lstat()
            if stat.st_mtime < before.timestamp():
                path.unlink()
                shrunk.add(parent)
                count, size = count + 1, size + stat.st_size
        # A folder that was empty before may belong to a task that is about to start.
        if parent in shrunk and parent != folder and not any(parent.iterdir()):
            parent.rmdir()
            shrunk.add(parent.parent)
    return count, size


def main() -> None:
    """Cleans up once a day, forever."""
    logs = airflow.folder(load_settings()) / "logs"
    time.sleep(INITIAL_DELAY.total_seconds())
    while True:
        start = time.monotonic()
        try:
            line = clean(logs, datetime.now(UTC) - RETENTION, dict(os.environ))
        except TransientError as error:
            # Not urgent: retried in a day.
            line = str(error)
        print_line(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {line} seconds={time.monotonic() - start:.1f}")
        time.sleep(INTERVAL.total_seconds())


if __name__ == "__main__":
    main()
