"""What must hold at the end of a soak, once nothing disturbs the platform and nothing is in flight."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from sluice.kafka.topics import kafka_ranges
from tests.fixtures.live import BATCH
from tests.fixtures.truth import assert_equal
from tests.fixtures.waiting import wait
from tests.soak import truth
from tests.soak.feed import COPIES, Feed
from tests.soak.platform import SoakedPlatform
from tests.soak.quarantine import assert_quarantine

_PATIENCE = 3600
"""Seconds that the platform has to catch up."""
_LIVE_STREAMS = ("flights.departed", "flights.cancelled")
_DAEMONS = ("sink", "other-sink", "live")


@dataclass(frozen=True)
class Check:
    """A promise at the end: whether it holds, and what was found."""

    name: str
    holds: bool
    detail: str
    seconds: float


def check_all(platform: SoakedPlatform, feed: Feed) -> Iterator[Check]:
    """Yields the result of each check, in an order in which later ones can rely on earlier ones."""
    checks: dict[str, Callable[[], str]] = {
        "all services are healthy": partial(_healthy, platform),
        "nothing is in flight": partial(_command, platform, "reconcile", "--wait", f"--patience={_PATIENCE}"),
        "no date is pending": partial(_transformed, platform),
        "the live view has read everything": partial(_live_has_read, platform),
        "truth to the row": partial(_truth, platform, feed),
        "quarantine to the record": partial(_quarantine, platform, feed),
        "reconcile, in full": partial(_command, platform, "reconcile", "--full"),
        "lake verify": partial(_command, platform, "lake", "verify"),
        "live equals truth": partial(_live_truth, platform, feed),
        "live equals batch": partial(_live_batch, platform),
        "no traceback": partial(_no_traceback, platform),
    }
    for name, check in checks.items():
        started = time.monotonic()
        try:
            holds, detail = True, check()
        except AssertionError as error:
            holds, detail = False, str(error)
        yield Check(name, holds, detail, round(time.monotonic() - started, 1))


def _healthy(platform: SoakedPlatform) -> str:
    services = platform.running.services()

    def unhealthy() -> list[str]:
        return [f"{status.name} {status.state} {status.detail}" for status in services.status() if not status.healthy]

    wait("all services to be healthy", lambda: not unhealthy(), seconds=600, every=1, detail=unhealthy)
    return ""


def _command(platform: SoakedPlatform, *arguments: str) -> str:
    done = platform.sluice(*arguments, timeout=2 * _PATIENCE)
    assert done.code == 0, "\n".join((done.output + done.errors).strip().splitlines()[-8:])
    return done.output.strip().splitlines()[-1]


def _transformed(platform: SoakedPlatform) -> str:
    def pending() -> int:
        return int(platform.running.query("select count(*) from ops.stale_dates where built_at is null").iloc[0, 0])

    # One that was triggered before may have planned before the last load.
    for _ in range(3):
        _command(platform, "transform")
        if not pending():
            return ""
    raise AssertionError(f"{pending()} dates are pending after three transforms")


def _live_has_read(platform: SoakedPlatform) -> str:
    streams = {stream: stream for stream in _LIVE_STREAMS}
    end = sum(part.end for part in kafka_ranges(platform.running.settings, streams))

    def read() -> int:
        return int(platform.running.query("select coalesce(sum(next_offset), 0) from live.partitions").iloc[0, 0])

    wait("the live view to read everything", lambda: read() >= end, seconds=_PATIENCE, every=1, detail=read)
    return f"{end:,} offsets"


def _truth(platform: SoakedPlatform, feed: Feed) -> str:
    rows = truth.assert_marts(platform.running.query, feed.first, feed.last, COPIES)
    return f"{rows:,} flights, {feed.first} to {feed.last}"


def _quarantine(platform: SoakedPlatform, feed: Feed) -> str:
    records = assert_quarantine(platform.running.query, platform.running.settings.contracts, feed.complete)
    return f"{records:,} invalid records"


def _live_truth(platform: SoakedPlatform, feed: Feed) -> str:
    hours = truth.assert_live(platform.running.query, feed.first, feed.last, COPIES)
    return f"{hours:,} airport-hours"


def _live_batch(platform: SoakedPlatform) -> str:
    batch = platform.running.query(BATCH)
    if batch.empty:
        return "no hour is closed yet"
    live = platform.running.query("select * from live.airport_hours")
    assert_equal(live.merge(batch[["origin", "hour"]]), batch, ["origin", "hour"])
    return f"{len(batch):,} closed airport-hours"


def _no_traceback(platform: SoakedPlatform) -> str:
    logs = [file for name in _DAEMONS for file in (platform.home / "logs").glob(f"{name}.log*")]
    found = [file.name for file in logs if "Traceback" in file.read_text(errors="replace")]
    assert not found + platform.tracebacks, ", ".join(found + platform.tracebacks)
    return f"{len(logs)} logs"
