"""``python -m bench.reconcile``: measures reconciliations of real rows, by what was verified before."""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from bench.load.lake import fill_lake
from bench.measure import peak_rss
from bench.servers import STREAM, servers
from bench.sink.events import events
from sluice.contracts import load_contracts
from sluice.load import load
from sluice.settings import ROOT, Settings

PARTITIONS = 4
DATES = 59
MORE = 100_000
_POLL = 0.02


def main() -> None:
    """Loads rows, then prints seconds and peak memory of each comparison."""
    parser = argparse.ArgumentParser(prog="bench.reconcile", description="Measure reconciliations of real rows.")
    parser.add_argument("--events", type=int, default=2_000_000, help="rows of history; each takes about 500 bytes")
    parser.add_argument("--folder", type=Path, help="where the servers' data goes; by default the temporary folder")
    options = parser.parse_args()
    with servers(["kafka", "minio", "postgres"], PARTITIONS, options.folder) as (settings, file):
        next_offsets = dict.fromkeys(range(PARTITIONS), 0)
        print(f"{'comparison':<42}{'seconds':>9}{'MiB':>7}")
        for label, count, arguments in (
            (f"the first, of {options.events:,} rows", options.events, ()),
            ("with nothing new", 0, ()),
            (f"with {MORE:,} new rows", MORE, ()),
            ("in full", 0, ("--full",)),
        ):
            _fill(settings, next_offsets, count)
            seconds, memory = _reconcile(file, *arguments)
            print(f"{label:<42}{seconds:>9.1f}{memory / 2**20:>7.0f}", flush=True)


def _fill(settings: Settings, next_offsets: dict[int, int], count: int) -> None:
    if count:
        fill_lake(settings, STREAM, PARTITIONS, events(count, DATES, ordered=True), next_offsets=next_offsets)
        load(settings, load_contracts(settings.contracts)[STREAM])


def _reconcile(file: Path, *arguments: str) -> tuple[float, int]:
    """Returns the seconds and the peak memory in bytes of one command.

    Raises:
        SystemExit: it found a disagreement.
    """
    started, peak = time.monotonic(), 0
    process = subprocess.Popen(
        [sys.executable, "-m", "cli", "reconcile", *arguments],
        env={**os.environ, "SLUICE_ENV_FILE": str(file)},
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
    )
    while process.poll() is None:
        peak = max(peak, peak_rss(process.pid))
        time.sleep(_POLL)
    if process.returncode:
        raise SystemExit("the reconciliation failed")
    return time.monotonic() - started, peak


if __name__ == "__main__":
    main()
