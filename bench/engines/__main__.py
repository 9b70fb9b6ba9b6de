"""``python -m bench.engines``: loads a year and its copies and builds the marts, on Postgres and on Spark."""

import argparse
import json
import os
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil

from bench.engines.report import report
from bench.load.lake import COMMIT_EVENTS, Event, fill_lake
from bench.measure import machine_cpu
from bench.report import machine
from infra.config.ports import free_ports
from infra.config.settings_file import PORTS, ensure_settings_file
from infra.processes import processes
from infra.servers.spark import WORKERS
from infra.supervision.platform import Platform
from producers.flights.timeline import Timeline
from sluice.contracts import Contracts, load_contracts
from sluice.lake import bucket
from sluice.lakehouse.comparison import compare
from sluice.lakehouse.process import run
from sluice.load import load
from sluice.settings import ROOT, Settings
from sluice.transform import transform
from sluice.transform.dbt import Dbt
from sluice.warehouse import schema

FIRST, LAST = date(2013, 1, 1), date(2013, 12, 31)
PARTITIONS = 4
SECONDS_PER_SAMPLE = 2.0
Run = dict[str, Any]


def main() -> None:
    """Runs the benchmark and writes its results.

    Raises:
        TerminalError: the engines' marts differ.
    """
    parser = argparse.ArgumentParser(prog="bench.engines", description="Measure loads and marts on Postgres and Spark.")
    parser.add_argument("--copies", type=int, nargs="+", default=[1, 4, 10], help="numbers of flights for each flight")
    parser.add_argument("--executors", type=int, nargs="+", default=[2, 1], help="numbers of Spark's workers")
    parser.add_argument(
        "--out",
        type=Path,
        default=ROOT / "bench" / "results" / "engines",
        help="path of the results, without a suffix",
    )
    parser.add_argument("--folder", type=Path, help="where the servers' data goes; by default the temporary folder")
    options = parser.parse_args()
    runs: list[Run] = []
    for copies in options.copies:
        with cluster(options.folder) as bench:
            events = bench.fill(copies)
            for result in chain(bench.postgres(), *map(bench.spark, options.executors)):
                runs.append({"copies": copies, "events": events, **result})
                print(json.dumps(runs[-1]), flush=True)
    result = {"machine": machine(), "partitions": PARTITIONS, "runs": runs}
    options.out.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    options.out.with_suffix(".md").write_text(report(result))
    print(report(result))


class Bench:
    """A lake, a Postgres and a Spark cluster, without anything else."""

    def __init__(self, settings: Settings, platform: Platform) -> None:
        self.settings = settings
        self.platform = platform
        self.contracts: Contracts = load_contracts(settings.contracts)

    def fill(self, copies: int) -> int:
        """Writes a year to the lake, in commits like the sink's; returns the number of events."""
        next_offsets = {stream: dict.fromkeys(range(PARTITIONS), 0) for stream in self.contracts}
        waiting: dict[str, list[Event]] = defaultdict(list)

        def write(stream: str) -> None:
            events, offsets = waiting.pop(stream), next_offsets[stream]
            fill_lake(self.settings, stream, PARTITIONS, events, next_offsets=offsets, topic_id=f"bench {stream}")

        for batch in Timeline(self.contracts, FIRST, LAST, copies=copies).batches():
            for event in batch:
                waiting[event.stream].append((event.key or b"", event.value, event.timestamp))
            for stream in [stream for stream, events in waiting.items() if len(events) >= COMMIT_EVENTS]:
                write(stream)
        for stream in list(waiting):
            write(stream)
        return sum(sum(offsets.values()) for offsets in next_offsets.values())

    def postgres(self) -> Iterator[Run]:
        """Loads every stream and builds the marts in Postgres; yields the figures of both."""

        def loads() -> None:
            for contract in self.contracts.values():
                load(self.settings, contract)

        def marts() -> None:
            dbt = Dbt(self.settings, _ignore)
            transform(self.settings, self.contracts, dbt=dbt, run="bench", log_line=_ignore)

        with self._only("postgres"):
            yield {"engine": "postgres", "executors": 0, "step": "load", **self._measured(loads)}
            yield {"engine": "postgres", "executors": 0, "step": "marts", **self._measured(marts)}

    def spark(self, executors: int) -> Iterator[Run]:
        """Does the same on Spark with so many workers; the result must equal that of Postgres."""

        def command(name: str) -> Callable[[], object]:
            return lambda: list(run(name, settings=self.settings, log_line=_ignore))

        with self._only("spark-master", *(worker.name for worker in WORKERS[:executors])):
            for step, name in (("load", "load"), ("marts", "build")):
                figures = self._measured(command(name))
                yield {"engine": "spark", "executors": executors, "step": step, **figures}
            self.platform.start(["postgres"])
            compare(self.settings, FIRST, LAST, _ignore).require_equality()
        _empty(self.settings, self.settings.warehouse_bucket)

    @contextmanager
    def _only(self, *names: str) -> Iterator[None]:
        """Runs services beside the lake while the caller measures."""
        self.platform.start(list(names))
        try:
            yield
        finally:
            for name in ("postgres", "spark-master", *(worker.name for worker in WORKERS)):
                self.platform.supervisor.stop(name)

    def _measured(self, work: Callable[[], object]) -> dict[str, float]:
        """Returns seconds, the machine's CPU-seconds, and the peak memory of all processes but the lake's, in bytes."""
        with _peak_memory(self.settings) as peak:
            started, cpu = time.monotonic(), machine_cpu()
            work()
            return {"seconds": time.monotonic() - started, "cpu": machine_cpu() - cpu, "peak": peak()}


@contextmanager
def cluster(folder: Path | None) -> Iterator[Bench]:
    """Starts an empty lake with the tables of both warehouses, and stops what runs at the end."""
    with TemporaryDirectory(prefix="sluice-bench-", dir=folder, ignore_cleanup_errors=True) as temporary:
        file = Path(temporary) / "settings.env"
        ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        ensure_settings_file(file, {"home": Path(temporary) / "home", **ports})
        settings = Settings(_env_file=file)  # type: ignore[call-arg]
        os.environ["SLUICE_ENV_FILE"] = str(file)
        platform = Platform(settings, file)
        try:
            platform.start(["minio", "postgres"])
            bucket.provision(settings)
            bucket.provision_lakehouse(settings)
            bench = Bench(settings, platform)
            schema.provision(settings, bench.contracts)
            yield bench
        finally:
            platform.stop()


@contextmanager
def _peak_memory(settings: Settings) -> Iterator[Callable[[], int]]:
    """Samples the memory of all processes but the lake's; yields a function that returns the peak."""
    peak, done = 0, threading.Event()

    def sample() -> None:
        nonlocal peak
        this = psutil.Process()
        while not done.wait(SECONDS_PER_SAMPLE):
            services = [process.pid for process, name in processes.owned(settings.home) if name != "minio"]
            own = [this.pid, *(child.pid for child in this.children(recursive=True))]
            peak = max(peak, processes.memory({*services, *own}))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield lambda: peak
    finally:
        done.set()
        thread.join()


def _empty(settings: Settings, name: str) -> None:
    client = bucket.client(settings, "root")
    for stored in list(client.list_objects(bucket_name=name, recursive=True)):
        client.remove_object(bucket_name=name, object_name=str(stored.object_name))


def _ignore(line: str) -> None:
    """Drops a line of a log: an error is raised."""


if __name__ == "__main__":
    sys.exit(main())
