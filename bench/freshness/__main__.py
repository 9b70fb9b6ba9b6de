"""``python -m bench.freshness``: measures when acknowledged records are in lake, live view, raw tables and marts."""

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.backfill.__main__ import Platform
from bench.freshness.report import report
from bench.freshness.sample import Partition, Progress, Sample
from bench.measure import machine_cpu
from bench.report import machine
from sluice.contracts import load_contracts
from sluice.lake.errors import NoTableError
from sluice.lake.layout import storage_options, table_uri, transaction_id
from sluice.lake.table import LakeTable
from sluice.settings import ROOT, Settings
from sluice.warehouse import connect

SAMPLES_PER_SECOND = 50
LOOKS = {"live": 0.2, "lake": 0.5, "raw": 0.5, "marts": 1.0}
"""Seconds between looks at each place."""
_LIVE = b"select stream, topic_id, partition, next_offset from live.partitions"
_RAW = b"select stream, topic_id, partition, next_offset from ops.ledger_ends"
PATIENCE = 1_800
"""Seconds after the last record until all samples have to be in the marts."""
PLOT = ROOT / ".venv-bench" / "bin" / "python"


def main() -> int:
    """Runs the benchmark and writes its results."""
    parser = argparse.ArgumentParser(prog="bench.freshness", description="Measure freshness at some rates.")
    parser.add_argument("--rates", type=int, nargs="+", default=[1_000, 20_000], help="events per second")
    parser.add_argument("--seconds", type=int, default=600, help="how long to send at each rate")
    parser.add_argument(
        "--out",
        type=Path,
        default=ROOT / "bench" / "results" / "freshness",
        help="path of the results, without a suffix",
    )
    options = parser.parse_args()
    runs = []
    for rate in options.rates:
        with platform() as running:
            runs.append({"rate": rate, **measure(running, rate, options.seconds)})
    result = {"machine": machine(), "seconds": options.seconds, "runs": runs}
    options.out.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    options.out.with_suffix(".md").write_text(report(result, f"{options.out.name}.svg"))
    print(options.out.with_suffix(".md").read_text())
    if PLOT.exists():
        subprocess.run(
            [PLOT, "-m", "bench.freshness.plot", options.out.with_suffix(".json"), options.out.with_suffix(".svg")],
            check=True,
            cwd=ROOT,
        )
    return 0


@contextmanager
def platform() -> Iterator[Platform]:
    """Starts a platform with empty topics and no producer, and stops it at the end."""
    with TemporaryDirectory(prefix="sluice-bench-", ignore_cleanup_errors=True) as folder:
        started = Platform(Path(folder))
        try:
            started.sluice("up", "--months", "0", "--no-live")
            yield started
        finally:
            started.sluice("down")


def measure(running: Platform, rate: int, seconds: int) -> dict[str, Any]:
    """Sends at a rate and watches all places until they have every sample; returns the delays in seconds by place."""
    file = running.file.parent / "samples.jsonl"
    file.touch()
    command = [sys.executable, "-m", "bench.freshness.sender", str(rate), str(seconds)]
    command += [str(max(1, rate // SAMPLES_PER_SECOND)), str(file)]
    environment = {**os.environ, "SLUICE_ENV_FILE": str(running.file)}
    started, cpu = time.monotonic(), machine_cpu()
    with Watch(running.settings, file) as watch:
        sender = subprocess.run(command, env=environment, cwd=ROOT, check=True, stdout=subprocess.PIPE)
        cores = (machine_cpu() - cpu) / (time.monotonic() - started)
        watch.wait(PATIENCE)
    sent = json.loads(sender.stdout)
    return {
        "events": sent["events"],
        "sent_per_second": sent["events"] / sent["seconds"],
        "cores": cores,
        "delays": {place: sorted(round(delay, 2) for delay in watch.delays(place)) for place in LOOKS},
    }


class Watch:
    """Looks at all places, each in a thread of its own."""

    def __init__(self, settings: Settings, file: Path) -> None:
        self.settings = settings
        self.samples: list[Sample] = []
        self._file = file.open()
        self._unfinished_line = ""
        self._topics: dict[Partition, str] = {}
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
        self._threads = ThreadPoolExecutor(len(self._looks))
        self._watching: list[Future[None]] = []

    def __enter__(self) -> "Watch":
        self._watching = [self._threads.submit(self._repeat, place, look) for place, look in self._looks.items()]
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._threads.shutdown()
        self._file.close()

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
            if ends and all(reached.values()) and not self._pending_flights:
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
        return [progress.readable_at(sample) - sample.acknowledged for sample in self.samples]

    def _repeat(self, place: str, look: Callable[[], None]) -> None:
        while not self._done.wait(LOOKS[place]):
            look()

    def _look_at_positions(self, place: str, query: bytes) -> None:
        with connect(self.settings, "reader") as warehouse:
            rows = warehouse.execute(query).fetchall()
        now = time.time()
        self._topics.update({(stream, partition): topic_id for stream, topic_id, partition, _ in rows})
        self._progress[place].add(now, {(stream, partition): end for stream, _, partition, end in rows})

    def _lake(self) -> Callable[[], None]:
        options = storage_options(self.settings, "reader")
        streams = load_contracts(self.settings.contracts)
        tables = {stream: LakeTable(table_uri(self.settings, stream), options) for stream in streams}

        def look() -> None:
            for stream, table in tables.items():
                try:
                    version = table.open()
                except NoTableError:
                    continue
                topics = {key: topic_id for key, topic_id in list(self._topics.items()) if key[0] == stream}
                ends = {
                    key: version.transaction_version(transaction_id(topic_id, key[1])) or 0
                    for key, topic_id in topics.items()
                }
                self._progress["lake"].add(time.time(), ends)

        return look

    def _look_at_marts(self) -> None:
        self._read_samples()
        query = b"select flight_id from marts.fct_flights where flight_id = any(%s)"
        with connect(self.settings, "reader") as warehouse:
            found = warehouse.execute(query, (list(self._pending_flights),)).fetchall()
        now = time.time()
        for (flight_id,) in found:
            self._in_marts.append(now - self._pending_flights.pop(flight_id).acknowledged)

    def _read_samples(self) -> None:
        *lines, self._unfinished_line = (self._unfinished_line + self._file.read()).split("\n")
        samples = [Sample(*json.loads(line)) for line in lines]
        self._pending_flights |= {sample.flight_id: sample for sample in samples if sample.flight_id}
        self.samples += samples


if __name__ == "__main__":
    sys.exit(main())
