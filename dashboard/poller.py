"""Who answers, and how far Kafka and the lake are: asked every few seconds by a thread: no page waits for it."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import httpx

from sluice.errors import SluiceError
from sluice.kafka import topics
from sluice.settings import Settings

log = logging.getLogger(__name__)

SECONDS = 5.0
PROBE_SECONDS = 8.0
RATE_SECONDS = 60.0
"""Over how long the rate of events is taken."""
SINK, LIVE = "sluice-sink", "sluice-live"
"""The consumer groups whose offsets say how far the lake and the live view are."""

PAGES: dict[str, Callable[[Settings], str]] = {
    "MinIO": lambda settings: f"http://{settings.minio}/minio/health/cluster",
    "Sink": lambda settings: f"http://{settings.sink_host}:{settings.sink_port}/health",
    "Airflow": lambda settings: f"{settings.airflow}/api/v2/version",
}
"""Per server, a page that returns 200 while it is up. Kafka is asked for offsets, and pages themselves ask Postgres."""


@dataclass(frozen=True)
class Seen:
    """What was seen last."""

    servers: dict[str, str | None] = field(default_factory=dict)
    """None where it serves, otherwise what is missing."""
    kafka: dict[str, int] | None = None
    """Records per stream; None while Kafka does not answer."""
    lake: dict[str, int] | None = None
    live: dict[str, int] | None = None
    """Of them, how many the lake has, and the live view."""
    per_second: float | None = None
    """Records that came into Kafka per second, in the last minute or since the first look."""


class Rate:
    """How fast a count grows, over the last ``RATE_SECONDS`` or since it was first told."""

    def __init__(self) -> None:
        self._told: deque[tuple[float, int]] = deque()

    def tell(self, count: int, now: float) -> float | None:
        """Takes the count at a moment, in seconds; returns its growth per second, None at first."""
        if self._told and count < self._told[-1][1]:
            # It is counted from the beginning again.
            self._told.clear()
        self._told.append((now, count))
        while len(self._told) > 2 and now - self._told[1][0] >= RATE_SECONDS:
            self._told.popleft()
        begin, before = self._told[0]
        return (count - before) / (now - begin) if now > begin else None


class Watch:
    """Looks again and again until it is stopped."""

    def __init__(self, settings: Settings, streams: list[str]) -> None:
        self._settings = settings
        self._streams = streams
        self._rate = Rate()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self.seen = Seen()

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def stop(self) -> None:
        """Ends it after the look that is under way."""
        self._stopped.set()

    def look(self) -> Seen:
        """Asks everybody now."""
        with ThreadPoolExecutor(len(PAGES)) as pool:
            asked = {name: pool.submit(_down, page(self._settings)) for name, page in PAGES.items()}
            servers = {name: future.result() for name, future in asked.items()}
        try:
            ends = dict.fromkeys(self._streams, 0)
            for partition in topics.kafka_ranges(self._settings, self._streams):
                ends[partition.stream] += partition.end
            groups = topics.group_offsets(self._settings, [SINK, LIVE], self._streams)
        except SluiceError as error:
            return Seen({"Kafka": str(error), **servers})
        rate = self._rate.tell(sum(ends.values()), time.monotonic())
        return Seen({"Kafka": None, **servers}, ends, groups[SINK], groups[LIVE], rate)

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self.seen = self.look()
            except Exception:
                # The next look may go well; pages show nothing meanwhile.
                log.exception("looking at the servers failed")
                self.seen = Seen()
            self._stopped.wait(SECONDS)


def _down(page: str) -> str | None:
    """Returns why a server counts as down; None while it answers its page with 200."""
    try:
        # Local addresses only: a proxy that the environment names has no business here.
        status = httpx.get(page, timeout=PROBE_SECONDS, trust_env=False).status_code
    except httpx.HTTPError as error:
        return f"no answer from {page} ({error})"
    return None if status == httpx.codes.OK else f"{page} returns status {status}"
