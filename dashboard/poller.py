"""Server health and Kafka progress, polled every few seconds by a thread, so that no page waits for a server."""

import logging
import threading
import time
from collections import deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from statistics import median
from typing import Any

from dashboard.probes import probes, sink_group
from sluice.contracts import Contract, Contracts, contracts_version, invalid_contracts, load_contracts
from sluice.errors import SluiceError
from sluice.kafka import topics
from sluice.kafka.last_record import last_timestamp
from sluice.live.group import live_group
from sluice.settings import Settings
from sluice.warehouse import connect

log = logging.getLogger(__name__)

POLL_SECONDS = 5.0
RATE_SECONDS = 60.0
"""The window over which the event rate is averaged."""
SPEED_SECONDS = 300.0
"""The window over which the speed of a replay is measured: flights pause at night."""

LAKE, LIVE = "lake", "live"


@dataclass(frozen=True)
class Snapshot:
    """The result of one poll."""

    invalid_contracts: tuple[str, ...] = ()
    """What is wrong with each file that is not a valid contract."""
    servers: dict[str, str | None] = field(default_factory=dict)
    """By server: None while it is up, otherwise why it counts as down."""
    kafka: dict[str, int] | None = None
    """Records in Kafka by stream; None while Kafka is down."""
    lake: dict[str, int] | None = None
    """Of these, the records that the sink has written to the lake."""
    live: dict[str, int] | None = None
    """Of these, the records that the live view has read."""
    per_second: float | None = None
    """Records per second that arrived in Kafka, over the last minute or since the first poll."""
    newest: datetime | None = None
    """The timestamp of the records that arrived last."""
    written_at: datetime | None = None
    """When the sink was last seen to have written records to the lake."""
    read_at: datetime | None = None
    """When the live view was last seen to have read records."""
    speed: float | None = None
    """Seconds of event time that arrive per second; None until that was measured."""
    contracts: Mapping[str, Contract] | None = None
    """The valid contracts by stream; None until they were read."""

    def is_removed(self, stream: str) -> bool:
        """Whether a stream has no contract any more. One whose contract is not valid now has one."""
        if self.contracts is None:
            return False
        return stream not in self.contracts and stream not in {
            file.stream for file in invalid_contracts(self.contracts)
        }


class Rate:
    """The growth rate of a count, over the last ``RATE_SECONDS`` or since the first update."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()

    def update(self, count: int, now: float) -> float | None:
        """Adds a sample.

        Args:
            count: the count at this time.
            now: a monotonic time, in seconds.

        Returns:
            The growth per second; None after the first sample.
        """
        if self._samples and count < self._samples[-1][1]:
            # The count was reset.
            self._samples.clear()
        self._samples.append((now, count))
        while len(self._samples) > 2 and now - self._samples[1][0] >= RATE_SECONDS:
            self._samples.popleft()
        start, start_count = self._samples[0]
        return (count - start_count) / (now - start) if now > start else None


class Growth:
    """The last time at which a count of any stream was seen to have grown."""

    def __init__(self) -> None:
        self._counts: Mapping[str, int] = {}
        self.at: datetime | None = None
        """None until a count has grown."""

    def update(self, counts: Mapping[str, int], now: datetime) -> None:
        """Adds a sample. The first count of a stream is no growth: it may be from long ago."""
        if any(count > self._counts.get(stream, count) for stream, count in counts.items()):
            self.at = now
        self._counts = counts


class Speed:
    """The speed of event time, as the median over ``SPEED_SECONDS``: a jump to another month does not count."""

    def __init__(self) -> None:
        self._last: tuple[float, float] | None = None
        self._speeds: deque[tuple[float, float]] = deque()

    def update(self, event_time: float, now: float) -> float | None:
        """Adds a sample.

        Args:
            event_time: the newest, in seconds.
            now: a monotonic time, in seconds.

        Returns:
            Seconds of event time per second; None after the first sample.
        """
        if self._last and now > self._last[1]:
            self._speeds.append((now, (event_time - self._last[0]) / (now - self._last[1])))
        self._last = event_time, now
        while self._speeds and now - self._speeds[0][0] > SPEED_SECONDS:
            self._speeds.popleft()
        return median(speed for _, speed in self._speeds) if self._speeds else None


class Poller:
    """Polls the servers periodically until it is stopped; ``snapshot`` is the latest result."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._contracts_version: object = None
        self._contracts = Contracts()
        self._rate = Rate()
        self._speed = Speed()
        self._growth = {LAKE: Growth(), LIVE: Growth()}
        self._ends: dict[tuple[str, int], int] = {}
        """The next offsets of the latest poll, by topic and partition."""
        self._newest: datetime | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="poller", daemon=True)
        self._groups: dict[str, str] = {}
        """The consumer groups whose committed offsets show the progress of the lake and of the live view."""
        self.snapshot = Snapshot()

    def start(self) -> None:
        """Starts the polling thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stops polling once the current poll has finished; does not wait for it."""
        self._stopped.set()

    def poll(self) -> Snapshot:
        """Polls all servers now and returns the result."""
        functions = probes(self._settings)
        with ThreadPoolExecutor(len(functions)) as pool:
            running = {name: pool.submit(probe) for name, probe in functions.items()}
            servers = {name: probe.result() for name, probe in running.items()}
        problems = self._read_contracts()
        read = Snapshot(invalid_contracts=problems, contracts=self._contracts)
        try:
            # A new contract has no topic until `make up`; one that has become invalid still has its topic.
            known = self._contracts.known_topics()
            records: dict[str, int] = {}
            ends: dict[tuple[str, int], int] = {}
            for partition in topics.kafka_ranges(self._settings, known, skip_missing=True):
                records[partition.stream] = records.get(partition.stream, 0) + partition.end
                if partition.end > partition.start:
                    ends[partition.topic, partition.partition] = partition.end
            existing = {stream: known[stream] for stream in records}
            grown = dict(ends.items() - self._ends.items())
            self._newest = (last_timestamp(self._settings, grown) if grown else None) or self._newest
            # Kafka may have been too slow: until one time is known, it is asked for again.
            if self._newest:
                self._ends = ends
            groups = self._find_groups()
            committed = topics.group_offsets(self._settings, list(groups.values()), existing)
        except SluiceError as error:
            return replace(read, servers={"Kafka": str(error), **servers}, **self._last_growth())
        now = time.monotonic()
        progress = {name: committed[group] for name, group in groups.items()}
        for name, counts in progress.items():
            self._growth[name].update(counts, datetime.now(UTC))
        return replace(
            read,
            servers={"Kafka": None, **servers},
            kafka=records,
            lake=progress.get(LAKE),
            live=progress.get(LIVE),
            per_second=self._rate.update(sum(records.values()), now),
            newest=self._newest,
            speed=self._speed.update(self._newest.timestamp(), now) if self._newest else None,
            **self._last_growth(),
        )

    def _last_growth(self) -> dict[str, Any]:
        return {"written_at": self._growth[LAKE].at, "read_at": self._growth[LIVE].at}

    def _read_contracts(self) -> tuple[str, ...]:
        """Reads the contracts, if they have changed; returns what is wrong with those that are not valid."""
        version = contracts_version(self._settings.contracts)
        if version != self._contracts_version:
            try:
                self._contracts = load_contracts(self._settings.contracts)
            except SluiceError as error:
                return (str(error),)
            self._contracts_version = version
        return tuple(str(file.error()) for file in self._contracts.invalid)

    def _find_groups(self) -> dict[str, str]:
        """Returns the groups by what they fill. One is missing while it was never known and its server is down."""
        for name, find in ((LAKE, sink_group), (LIVE, _live_group)):
            if name not in self._groups and (group := find(self._settings)):
                self._groups[name] = group
        return self._groups

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self.snapshot = self.poll()
            except Exception:
                # The next poll may succeed. Until then, pages show no server status and no Kafka counts.
                log.exception("polling the servers failed")
                self.snapshot = Snapshot()
            self._stopped.wait(POLL_SECONDS)


def _live_group(settings: Settings) -> str | None:
    """Returns the live view's consumer group; None while Postgres is down."""
    try:
        with connect(settings, "reader") as warehouse:
            return live_group(warehouse)
    except SluiceError:
        return None
