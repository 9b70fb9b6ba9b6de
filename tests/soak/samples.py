"""Samples what may grow: memory, open files, connections, Postgres's tables, the lake's objects."""

import contextlib
import os
import threading
import time
from collections import defaultdict
from pathlib import Path

import psutil
import psycopg

from infra.processes import processes
from sluice.warehouse.connect import AIRFLOW
from tests.soak.platform import SoakedPlatform

SECONDS = 10.0
_MIB = 1 << 20


class Sampler:
    """Takes a sample every ten seconds, in the background. What is down is not in a sample."""

    def __init__(self, platform: SoakedPlatform) -> None:
        self.samples: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
        self._platform = platform
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        """Begins to sample."""
        self._thread.start()

    def end(self) -> None:
        """Ends with the current sample."""
        self._ending.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        started = time.monotonic()
        while not self._ending.wait(SECONDS):
            second = round(time.monotonic() - started, 1)
            for read in (self._processes, self._postgres, self._lake):
                # A server that is down, or files that go while they are counted.
                with contextlib.suppress(psycopg.Error, psutil.Error, OSError):
                    for metric, value in read().items():
                        self.samples[metric].append((second, value))

    def _processes(self) -> dict[str, float]:
        by_service: defaultdict[str, list[psutil.Process]] = defaultdict(list)
        for process, service in sorted(processes.owned(self._platform.home), key=lambda item: item[0].pid):
            by_service[service].append(process)
        found: dict[str, float] = {}
        for service, several in by_service.items():
            main = min(several, key=lambda process: process.create_time())
            with contextlib.suppress(psutil.Error):
                found[f"memory MiB/{service}"] = processes.memory([main.pid]) / _MIB
                found[f"open files/{service}"] = main.num_fds()
            found[f"processes/{service}"] = len(several)
        found["memory MiB/all processes"] = processes.memory(one.pid for of in by_service.values() for one in of) / _MIB
        return found

    def _postgres(self) -> dict[str, float]:
        settings = self._platform.running.settings
        with psycopg.connect(
            host=settings.postgres_host,
            port=settings.postgres_port,
            user="postgres",
            password=settings.secret("postgres_password"),
            dbname=settings.warehouse,
            connect_timeout=3,
            options="-c statement_timeout=5000",
        ) as connection:
            rows = connection.execute(
                "select 'connections/' || usename, count(*)::float from pg_stat_activity"
                " where backend_type = 'client backend' and pid <> pg_backend_pid() group by 1"
                " union all select 'connections/all', count(*) from pg_stat_activity"
                " where backend_type = 'client backend' and pid <> pg_backend_pid()"
                f" union all select 'size MiB/airflow metadata', pg_database_size('{AIRFLOW}') / 1048576.0"
                " union all select 'size MiB/ops', sum(pg_total_relation_size(c.oid)) / 1048576.0 from pg_class c"
                " join pg_namespace n on n.oid = relnamespace where nspname = 'ops' and relkind = 'r'"
                " union all select 'size MiB/warehouse', pg_database_size(current_database()) / 1048576.0"
            ).fetchall()
        return dict(rows)

    def _lake(self) -> dict[str, float]:
        home = self._platform.home
        found: defaultdict[str, float] = defaultdict(float)
        bucket = home / "minio" / self._platform.running.settings.lake_bucket
        for folder, _, files in os.walk(bucket):
            # MinIO keeps an object as a folder with this file.
            if "xl.meta" in files:
                stream, *parts = Path(folder).relative_to(bucket).parts
                found[f"{'log entries' if parts[:1] == ['_delta_log'] else 'files'}/{stream}"] += 1
                found["objects/lake"] += 1
        disk = os.statvfs(home)
        found["disk MiB/home"] = (disk.f_blocks - disk.f_bfree) * disk.f_frsize / _MIB
        return dict(found)
