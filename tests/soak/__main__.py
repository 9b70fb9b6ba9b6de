"""``python -m tests.soak [--minutes 60] [--seed N] [--out FOLDER]``: runs a soak; its exit code is 0 if all holds."""

import argparse
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from random import Random

from producers.__main__ import MAX_SEED
from sluice.settings import ROOT
from tests.fixtures import leftovers
from tests.soak.soak import soak

RESULTS = ROOT / "bench" / "results"
MAX_MINUTES = 1_440
_MIN_MINUTES = 30
"""A shorter soak is a trial: its result is not kept unless it is asked for."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a soak and prints its result."""
    parser = argparse.ArgumentParser(prog="tests.soak", description="Run a platform under load and faults.")
    parser.add_argument("--minutes", type=_minutes, default=60, help="how long faults are injected (60)")
    parser.add_argument("--seed", type=_seed, default=None, help="the seed of an earlier run, to repeat it")
    parser.add_argument("--out", type=Path, default=None, help="the folder of soak.json and soak.md")
    options = parser.parse_args(arguments)
    seed = Random().randrange(10**6) if options.seed is None else options.seed
    print(f"seed {seed}: `make soak MINUTES={options.minutes} SEED={seed}` repeats this", flush=True)
    # As Ctrl-C does, so that every fault is ended and every process stopped.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    logs = Path(tempfile.mkdtemp(prefix="sluice-soak-"))
    print(f"logs in {logs}", flush=True)
    leftovers.begin()
    try:
        result = soak(options.minutes, seed, logs, lambda line: print(line, flush=True))
    except KeyboardInterrupt:
        print(f"interrupted; logs in {logs}", file=sys.stderr)
        return 130
    finally:
        leftovers.end()
    for line in result.lines():
        print(line)
    if options.out or options.minutes >= _MIN_MINUTES:
        result.write(options.out or RESULTS)
    if result.failures:
        print(f"logs in {logs}", file=sys.stderr)
    return 1 if result.failures else 0


def _minutes(text: str) -> int:
    return _whole_number("MINUTES", text, 1, MAX_MINUTES)


def _seed(text: str) -> int:
    return _whole_number("SEED", text, 0, MAX_SEED)


def _whole_number(variable: str, text: str, low: int, high: int) -> int:
    """Returns a number; ends the program with one line if it is out of range."""
    if not (text.isascii() and text.isdigit() and low <= int(text[:20]) <= high):
        sys.exit(f"sluice: {variable}={text} is out of range. Hint: give a number from {low:,} to {high:,}.")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
