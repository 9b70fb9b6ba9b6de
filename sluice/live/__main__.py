"""``python -m sluice.live``: keeps the live view until SIGTERM or Ctrl-C."""

import logging
import sys
import threading
import time
from pathlib import Path

from sluice.contracts import load_contracts, pick
from sluice.errors import TransientError
from sluice.live.outcome import STREAMS, Record, least, outcome
from sluice.live.source import Source
from sluice.live.store import Head, Store
from sluice.program import run_until_stopped
from sluice.settings import Settings

log = logging.getLogger("sluice.live")

BEAT_SECONDS = 5.0
_LONGEST_WAIT = 15.0


def run(settings: Settings, stopping: threading.Event) -> None:
    """Follows the streams until told to stop.

    There is one way back from every fault, which is the way in: go on from what Postgres has.
    """
    failures = 0
    while not stopping.is_set():
        started = time.monotonic()
        try:
            follow(settings, stopping)
        except TransientError as error:
            failures = 0 if time.monotonic() - started > _LONGEST_WAIT else failures + 1
            wait = min(0.5 * 2**failures, _LONGEST_WAIT)
            log.warning("starts anew in %.1f s: %s", wait, error)
            stopping.wait(wait)


def follow(settings: Settings, stopping: threading.Event) -> None:
    """Brings records into the state; returns when it is told to stop, or when a contract has changed.

    Raises:
        TransientError: a server does not answer.
    """
    version = _version(settings.contracts)
    known = load_contracts(settings.contracts)
    contracts = {stream: pick(known, stream) for stream in STREAMS}
    beaten = -BEAT_SECONDS
    with Store(settings) as store, Source(settings, STREAMS, store.heads) as source:
        while not stopping.is_set():
            records = source.poll(0.5)
            if records:
                heads = _following(records)
                said = (outcome(contracts[record.stream], record) for record in records)
                store.add(least(each for each in said if each), heads, {r.topic_id: r.stream for r in records})
                source.mark(heads)
            if time.monotonic() - beaten >= BEAT_SECONDS:
                beaten = time.monotonic()
                store.beat()
                if _version(settings.contracts) != version:
                    log.info("a contract has changed: what comes from here on is judged by the new one")
                    return


def _following(records: list[Record]) -> dict[Head, int]:
    """The offset after the last record of each partition; they come in their order."""
    return {(record.topic_id, record.partition): record.offset + 1 for record in records}


def _version(folder: Path) -> list[tuple[Path, int]]:
    return sorted((path, path.stat().st_mtime_ns) for path in folder.glob("*.yaml"))


if __name__ == "__main__":
    sys.exit(run_until_stopped("live", run))
