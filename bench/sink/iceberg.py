"""What Kafka Connect has committed to its Iceberg table."""

import json
import math
import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from bench.servers import PYTHON
from bench.sink.contestants.iceberg import CATALOG
from bench.sink.contestants.spec import Spec
from sluice.lake.bucket import client
from sluice.settings import ROOT, Settings


def metadata_location(spec: Spec) -> str | None:
    """Returns the address of the table's current metadata; None before it exists."""
    file = Path(spec.state) / CATALOG
    if not file.exists():
        return None
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=60)) as catalog:
        try:
            row = catalog.execute("select metadata_location from iceberg_tables").fetchone()
        except sqlite3.OperationalError:
            # The catalog's own table is being created.
            return None
    return str(row[0]) if row else None


def committed(settings: Settings, spec: Spec, idle: float = math.inf) -> Callable[[], bool]:
    """Returns a check of whether the table has as many rows as the topic has events.

    Args:
        settings: of the servers.
        spec: of the contestant.
        idle: seconds without a commit after which nothing more is expected, for a run that may have lost events.
    """
    minio = client(settings, "root")
    seen: dict[str, int] = {}
    last: str | None = None
    since = time.monotonic()

    def check() -> bool:
        nonlocal last, since
        location = metadata_location(spec)
        if location != last:
            last, since = location, time.monotonic()
        if location and location not in seen:
            with minio.get_object(bucket_name=spec.bucket, object_name=location.split("/", 3)[3]) as response:
                metadata = json.loads(response.read())
            snapshots = {each["snapshot-id"]: each for each in metadata.get("snapshots", [])}
            current = snapshots.get(metadata.get("current-snapshot-id"))
            seen[location] = int(current["summary"]["total-records"]) if current else 0
        return (bool(location) and seen[str(location)] >= spec.events) or time.monotonic() - since > idle

    return check


def data_files(spec: Spec) -> list[str]:
    """Returns the addresses of the data files in the table's current snapshot."""
    location = metadata_location(spec)
    if location is None:
        return []
    command = [PYTHON, "-m", "bench.sink.contestants.iceberg_files", location]
    found = subprocess.run(command, env=spec.variables(), cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return found.stdout.split()
