"""``python -m bench.freshness``: measures when acknowledged records are in lake, live view, raw tables and marts."""

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from psycopg.errors import UndefinedTable
from psycopg.rows import args_row, scalar_row

from bench.backfill.__main__ import Platform, platform
from bench.freshness.announcer import Announcer
from bench.freshness.report import report
from bench.freshness.sample import Partition, Position, Progress, Sample, distribution
from bench.measure import machine_cpu
from bench.report import machine
from sluice.contracts import load_contracts, topic_names
from sluice.kafka.topics import kafka_ranges
from sluice.lake.errors import NoTableError
from sluice.lake.layout import storage_options, table_uri, transaction_id
from sluice.lake.table import LakeTable
from sluice.settings import ROOT, Settings
from sluice.warehouse import connect

RUNS = [(1_000, 600, False), (20_000, 120, False), (1_000, 600, True)]
"""The runs: events per second, for how many seconds, and whether each commit also triggers a load.

Two cores cannot rebuild the dates of ten minutes at the higher rate within half an hour.
"""
SAMPLES_PER_SECOND = 50
LOOKS = {"live": 0.2, "lake": 0.5, "raw": 0.5, "marts": 1.0}
"""Seconds between looks at each place."""
_LIVE = b"select stream, partition, next_offset from live.partitions"
_RAW = b"select stream, partition, next_offset from ops.ledger_ends"
PATIENCE = 1_800
"""Seconds after the last record until all samples have to be in the marts."""
PLOT = ROOT / ".venv-bench" / "bin" / "python"


def main() -> int:
    """Runs the benchmark and writes its results."""
    parser = argparse.ArgumentParser(prog="bench.freshness", description="Measure freshness at some rates.")
    parser.add_argument("--rate", type=int, help="measure this one alone: events per second")
    parser.add_argument("--seconds", type=int, default=600, help="of the one: how long to send")
    parser.add_argument("--announced", action="store_true", help="of the one: each commit also triggers a load")
    parser.add_argument(
        "--out",
        type=Path,
        default=ROOT / "bench" / "results" / "freshness",
        help="path of the results, without a suffix",
    )
    options = parser.parse_args()
    result: dict[str, Any] = {"machine": machine(), "runs": []}
    runs = [(options.rate, options.seconds, options.announced)] if options.rate else RUNS
    for rate, seconds, announced in runs:
        with platform() as running:
            figures = measure(running, rate, seconds, announced)
        result["runs"].append({"rate": rate, "minutes": seconds / 60, "announced": announced, **figures})
        write(result, options.out)
        print(options.out.with_suffix(".md").read_text(), flush=True)
    return 0


def write(result: dict[str, Any], out: Path) -> None:
    """Writes results as JSON, report and plot."""
    out.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    out.with_suffix(".md").write_text(report(result, f"{out.name}.svg"))
    if PLOT.exists():
        plot: list[str | Path] = [PLOT, "-m", "bench.freshness.plot", out.with_suffix(".json"), out.with_suffix(".svg")]
        subprocess.run(plot, check=True, cwd=ROOT)


def measure(running: Platform, rate: int, seconds: int, announced: bool) -> dict[str, Any]:
    """Sends at a rate and watches all places until they have every sample; returns the delays in seconds by place.

    Args:
        running: a platform with empty topics.
        rate: events per second.
        seconds: how long to send.
        announced: whether each commit of the sink also triggers a load.
    """
    file = running.file.parent / "samples.jsonl"
    file.touch()
    command = [sys.executable, "-m", "bench.freshness.sender", str(rate), str(seconds)]
    command += [str(max(1, rate // SAMPLES_PER_SECOND)), str(file)]
    environment = {**os.environ, "SLUICE_ENV_FILE": str(running.file)}
    started, cpu = time.monotonic(), machine_cpu()
    with Watch(running.settings, file, Announcer(running.settings) if announced else None) as watch:
        sender = subprocess.run(command, env=environment, cwd=ROOT, check=True, stdout=subprocess.PIPE)
        cores = (machine_cpu() - cpu) / (time.monotonic() - started)
        watch.wait(PATIENCE)
    sent = json.loads(sender.stdout)
    return {
        "events": sent["events"],
        "sent_per_second": sent["events"] / sent["seconds"],
        "cores": cores,
        "loads_triggered": watch.loads_triggered,
        "places": {place: distribution(watch.delays(place)) for place in LOOKS},
    }


class Watch:
    """Looks at all places, each in a thread of its own."""

    def __init__(self, settings: Settings, file: Path, announcer: Announcer | None) -> None:
        self.settings = settings
        self._announcer = announcer
        self.samples: list[Sample] = []
        self._file = file.open()
        self._unfinished_line = ""
        self._progress = {place: Progress() for place in ("live", "lake", "raw")}
        self._pending_flights: dict[str, Sample] = {}
        self._in_marts: list[float] = []
        self._done = threading.Event()
        self._looks = {
            "live": lambda: self._look_at_positions("live", _LIVE),
            "lake": self._lake(),
            "raw": lambda: self._look_at_positions("raw", _RAW),
            "marts": self._look_at_marts,
        }
        self._threads = ThreadPoolExecutor(len(self._looks) + 1)
        self._watching: list[Future[None]] = []

    def __enter__(self) -> "Watch":
        self._watching = [self._threads.submit(self._repeat, LOOKS[place], look) for place, look in self._looks.items()]
        if self._announcer:
            self._watching.append(self._threads.submit(self._repeat, LOOKS["lake"], self._announce))
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._threads.shutdown()
        self._file.close()
        if self._announcer:
            self._announcer.close()

    @property
    def loads_triggered(self) -> int:
        """The number of loads that commits have triggered."""
        return self._announcer.triggered if self._announcer else 0

    def wait(self, seconds: float) -> None:
        """Waits until every place has every sample.

        Raises:
            RuntimeError: it took too long.
            SluiceError: a server is down.
        """
        until = time.monotonic() + seconds
        while True:
            ends: dict[Partition, int] = {}
            for sample in self.samples:
                key = sample.stream, sample.partition
                ends[key] = max(ends.get(key, 0), sample.offset + 1)
            reached = {place: progress.has_all(ends) for place, progress in self._progress.items()}
            if all(reached.values()) and not self._pending_flights:
                return
            for watching in self._watching:
                if watching.done():
                    # It ends only with an error, which this raises.
                    watching.result()
            if time.monotonic() > until:
                raise RuntimeError(f"not everywhere: {reached}, {len(self._pending_flights)} flights not in the marts")
            time.sleep(1)

    def delays(self, place: str) -> list[float]:
        """Returns the seconds from each sample's acknowledgement until it could be read."""
        if place == "marts":
            return self._in_marts
        progress = self._progress[place]
        samples = (sample for sample in self.samples if progress.reads(sample.stream))
        return [progress.readable_at(sample) - sample.acknowledged for sample in samples]

    def _repeat(self, seconds: float, look: Callable[[], None]) -> None:
        while not self._done.wait(seconds):
            look()

    def _announce(self) -> None:
        assert self._announcer is not None
        records: dict[str, int] = {}
        for (stream, _), next_offset in self._progress["lake"].last().items():
            records[stream] = records.get(stream, 0) + next_offset
        self._announcer.announce(records)

    def _look_at_positions(self, place: str, query: bytes) -> None:
        with connect(self.settings, "reader") as warehouse, warehouse.cursor(row_factory=args_row(Position)) as cursor:
            positions = cursor.execute(query).fetchall()
        now = time.time()
        self._progress[place].add(now, {(row.stream, row.partition): row.next_offset for row in positions})

    def _lake(self) -> Callable[[], None]:
        options = storage_options(self.settings, "reader")
        streams = load_contracts(self.settings.contracts)
        tables = {stream: LakeTable(table_uri(self.settings, stream), options) for stream in streams}
        partitions = kafka_ranges(self.settings, topic_names(streams))

        def look() -> None:
            for stream, table in tables.items():
                try:
                    version = table.open()
                except NoTableError:
                    continue
                ends = {
                    (stream, part.partition): version.transaction_version(transaction_id(part.topic_id, part.partition))
                    or 0
                    for part in partitions
                    if part.stream == stream
                }
                self._progress["lake"].add(time.time(), ends)

        return look

    def _look_at_marts(self) -> None:
        self._read_samples()
        query = b"select flight_id from marts.fct_flights where flight_id = any(%s)"
        with connect(self.settings, "reader") as warehouse, warehouse.cursor(row_factory=scalar_row) as cursor:
            try:
                found = cursor.execute(query, (list(self._pending_flights),)).fetchall()
            except UndefinedTable:
                # The first transform has not published yet.
                return
        now = time.time()
        for flight_id in found:
            self._in_marts.append(now - self._pending_flights.pop(flight_id).acknowledged)

    def _read_samples(self) -> None:
        *lines, self._unfinished_line = (self._unfinished_line + self._file.read()).split("\n")
        samples = [Sample(*json.loads(line)) for line in lines]
        self._pending_flights |= {sample.flight_id: sample for sample in samples if sample.flight_id}
        self.samples += samples


if __name__ == "__main__":
    sys.exit(main())
