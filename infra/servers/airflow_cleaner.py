"""Removes what Airflow keeps of runs that are long over: rows of its metadata, and its log files.

A process beside Airflow, not a DAG of it: tasks have no access to the metadata, and need none
(``docs/decisions/0010-what-airflow-keeps.md``).
"""

import os
import re
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from infra.processes.steps import say
from infra.servers import airflow
from sluice.errors import TransientError
from sluice.settings import load_settings

KEPT = timedelta(days=30)
FIRST = timedelta(hours=1)
"""From the start: a launch has other things to do."""
EVERY = timedelta(days=1)
TABLES = (
    *("asset_event", "dag_run", "job", "log", "revoked_token", "session"),
    *("task_instance", "task_instance_history", "task_reschedule", "trigger", "xcom"),
)
"""Those that grow with each run, request or login. Airflow keeps each DAG's last scheduled run, however old."""
_BATCH = 10_000
"""Rows that one transaction removes: the scheduler works on meanwhile."""
_FOUND = re.compile(r"^Checking table (\w+)\nFound (\d+) rows", re.MULTILINE)


def clean(logs: Path, before: datetime, environment: dict[str, str]) -> str:
    """Removes what is older than a moment, and says what it was.

    Args:
        logs: Airflow's folder of them.
        before: the moment, with its time zone.
        environment: Airflow's configuration, with the metadata's address.

    Raises:
        TransientError: Airflow's command failed; what it had removed until then stays so.
    """
    command = airflow.command("db", "clean", "--yes", "--skip-archive", "--error-on-cleanup-failure")
    command += ["--tables", ",".join(TABLES), "--batch-size", str(_BATCH)]
    command += ["--clean-before-timestamp", before.isoformat()]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise TransientError(f"`airflow db clean` failed: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
    rows = [f"{int(count):,} of {table}" for table, count in _FOUND.findall(done.stdout) if int(count)]
    files, size = _remove_logs(logs, before)
    return f"older than {before:%Y-%m-%d}: rows {', '.join(rows) or 'none'}; {files:,} log files, {size >> 10:,} KiB"


def _remove_logs(folder: Path, before: datetime) -> tuple[int, int]:
    """Removes old log files and the folders that they leave empty; returns how many files, and their bytes."""
    count = size = 0
    lighter: set[Path] = set()
    for name, _, files in os.walk(folder, topdown=False):
        place = Path(name)
        for path in (place / file for file in files):
            found = path.lstat()
            if found.st_mtime < before.timestamp():
                path.unlink()
                lighter.add(place)
                count, size = count + 1, size + found.st_size
        # An empty one that was not emptied here may be a task's that is about to begin.
        if place in lighter and place != folder and not any(place.iterdir()):
            place.rmdir()
            lighter.add(place.parent)
    return count, size


def main() -> None:
    """Cleans once a day, for ever."""
    logs = airflow.folder(load_settings()) / "logs"
    time.sleep(FIRST.total_seconds())
    while True:
        began = time.monotonic()
        try:
            said = clean(logs, datetime.now(UTC) - KEPT, dict(os.environ))
        except TransientError as error:
            # Another day will do.
            said = str(error)
        say(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {said}, {time.monotonic() - began:.1f} s")
        time.sleep(EVERY.total_seconds())


if __name__ == "__main__":
    main()
