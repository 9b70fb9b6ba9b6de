"""``python -m bench.sink.bounds``: measures the sink's peak memory and number of objects in its worst cases.

The sink alone, at full speed: with few and many partitions, with the store down for two minutes, and with input in
order of time, with and without late events.
"""

import os
import subprocess
import sys
import time
from dataclasses import dataclass

from bench.measure import peak_rss
from bench.report import machine
from bench.servers import STREAM, delete_objects, servers
from bench.sink.events import events, produce
from bench.sink.lineup import all_committed
from infra.supervision.platform import Platform
from sluice.settings import ROOT

RESULT = ROOT / "bench" / "results" / "sink-bounds.md"
DATES = 24
TIMEOUT = 600.0
"""Seconds after which a case fails."""


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    label: str
    partitions: int
    events: int
    ordered: bool = False
    late: float = 0.0
    down: float = 0.0
    """Seconds that MinIO is down, starting five seconds after the sink."""


CASES = [
    Case("4 partitions, 24 dates in every commit", 4, 4_800_000),
    Case("64 partitions, 24 dates in every commit", 64, 4_800_000),
    Case("4 partitions, the store down for 120 s", 4, 4_800_000, down=120),
    Case("4 partitions, in order of time", 4, 3_000_000, ordered=True),
    Case("4 partitions, in order of time, 5 % late by one to three days", 4, 3_000_000, ordered=True, late=0.05),
]


def main() -> None:
    """Runs every case with new servers and writes the report."""
    lines = [
        "# Sink bounds",
        "",
        "One sink at full speed, events of 274 bytes, LZ4; one run per case. Written by `make bench-sink`.",
        "",
        "| case | events | peak RSS, MiB | seconds | data objects | data objects per million events |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for case in CASES:
        peak, seconds, objects = run(case)
        lines.append(
            f"| {case.label} | {case.events:,} | {peak:,.0f} | {seconds:,.0f} | {objects:,} "
            f"| {objects / case.events * 1e6:,.0f} |"
        )
        print(lines[-1], flush=True)
    lines += ["", *(f"- {name}: {value}" for name, value in machine().items())]
    RESULT.write_text("\n".join(lines) + "\n")


def run(case: Case) -> tuple[float, float, int]:
    """Returns the peak memory in MiB, the seconds until all events are in the lake, and the number of data objects.

    Raises:
        RuntimeError: the sink exited or timed out.
    """
    with servers(["kafka", "minio"], case.partitions) as (settings, file):
        produce(settings.kafka, STREAM, case.partitions, events(case.events, DATES, case.ordered, case.late))
        log = settings.home / "sink.log"
        with log.open("w") as output:
            sink = subprocess.Popen(
                [sys.executable, "-m", "sluice.sink"],
                env={**os.environ, "SLUICE_ENV_FILE": str(file)},
                cwd=ROOT,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        started = time.monotonic()
        try:
            if case.down:
                time.sleep(5.0)
                _stop_store(Platform(settings, file), case.down)
            done = all_committed(settings)
            while not done():
                if sink.poll() is not None or time.monotonic() - started > TIMEOUT:
                    raise RuntimeError(f"{case.label}: the sink exited or timed out:\n{log.read_text()[-2_000:]}")
                time.sleep(0.2)
            seconds = time.monotonic() - started
            peak = peak_rss(sink.pid) / 2**20
        finally:
            sink.terminate()
            sink.wait(60)
        return peak, seconds, delete_objects(settings, STREAM)["objects"]


def _stop_store(platform: Platform, seconds: float) -> None:
    platform.supervisor.stop("minio")
    time.sleep(seconds)
    platform.start(["minio"])


if __name__ == "__main__":
    main()
