"""The sink's loop: read, buffer, commit. It holds no truth of its own: the lake says where a partition goes on."""

import contextlib
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from sluice.errors import TerminalError, TransientError
from sluice.lake.chunk import Chunk
from sluice.lake.table import Appended
from sluice.sink.buffer import PartitionBuffer
from sluice.sink.metrics import Metrics

log = logging.getLogger(__name__)


@dataclass(frozen=True, order=True)
class Place:
    """A partition of a stream's topic."""

    stream: str
    partition: int


@dataclass(frozen=True)
class Records:
    """Records of one partition in the order of offsets, as lake rows; ``following`` is the offset to go on at.

    Offsets below it that are not among the rows hold no record: a transaction's marks, or records of an aborted one.
    """

    place: Place
    rows: pa.Table
    following: int


class Source(Protocol):
    """Where records come from: Kafka, behind ``consumer.py``."""

    def poll(self, timeout: float) -> Sequence[Records]:
        """Waits at most ``timeout`` seconds for records."""

    def seek(self, place: Place, offset: int) -> None:
        """Goes on reading a partition at that offset."""

    def mark(self, heads: dict[Place, int]) -> None:
        """Tells Kafka how far the lake is, for lag displays alone."""

    def hold(self, held: bool) -> None:
        """Stops or goes on reading, while staying in the group."""

    def ends(self, places: Iterable[Place]) -> dict[Place, int]:
        """Kafka's next offsets, as far as they are known without asking."""

    def topic_id(self, stream: str) -> str | None:
        """The id that the stream's topic has now, asked anew; None where there is no such topic."""


class Table(Protocol):
    """A stream's table in the lake."""

    def head(self, topic_id: str, partition: int) -> int:
        """The partition's next offset."""

    def append(self, chunks: Sequence[Chunk]) -> Appended:
        """Commits chunks with their progress."""


@dataclass(frozen=True)
class Limits:
    """When a stream's buffers are committed."""

    age: float = 10.0
    """Seconds that the oldest record waits at most, also when nothing follows it."""
    batch_bytes: int = 48 << 20
    """Bytes of one stream that are worth a commit. While it is written, a batch takes about six times its size."""
    budget_bytes: int = 52 << 20
    """Bytes held over all streams; beyond, reading stops until a commit succeeds. No more than a batch or so, so that
    what piled up while the store was down is written in as little memory as any other batch."""
    stall: float = 60.0
    """Seconds without a commit, while there is something to commit, after which the sink is not healthy."""
    retry: float = 0.5
    """Seconds before a commit that failed is tried again; doubled with each failure, 15 at most."""


class Sink:
    """Moves records from a source to the lake's tables. One thread; ``clock`` gives seconds."""

    def __init__(
        self,
        source: Source,
        tables: dict[str, Table],
        clock: Callable[[], float],
        limits: Limits = Limits(),
        metrics: Metrics | None = None,
    ) -> None:
        self.metrics = metrics or Metrics()
        self._source = source
        self._tables = tables
        self._clock = clock
        self._limits = limits
        self._buffers: dict[Place, PartitionBuffer] = {}
        self._failures: dict[str, int] = {}
        self._retry_at: dict[str, float] = {}
        self._held = False
        self._caught_up: dict[Place, float] = {}
        self._progress: dict[Place, float] = {}
        self._observed = clock()

    def assigned(self, topic_ids: dict[Place, str]) -> dict[Place, int]:
        """Takes over partitions; returns the offsets to read them from, which are the lake's heads."""
        for place, topic_id in topic_ids.items():
            head = self._tables[place.stream].head(topic_id, place.partition)
            self._buffers[place] = PartitionBuffer(topic_id, place.partition, head)
        return {place: self._buffers[place].first for place in topic_ids}

    def revoked(self, places: Iterable[Place]) -> None:
        """Commits and gives up partitions. What cannot be committed now is read again by whoever has them next."""
        leaving = set(places)
        for stream in sorted({place.stream for place in leaving}):
            if self._chunks(stream):
                try:
                    self._commit(stream)
                except TransientError as error:
                    log.warning("not committed before giving up partitions: %s", error)
        self.lost(leaving)

    def lost(self, places: Iterable[Place]) -> None:
        """Drops partitions that another member may have already."""
        for place in places:
            self._buffers.pop(place, None)
            self._caught_up.pop(place, None)
            self._progress.pop(place, None)
            for gauge in (self.metrics.lag, self.metrics.behind):
                with contextlib.suppress(KeyError):
                    gauge.remove(place.stream, str(place.partition))

    def step(self, timeout: float = 0.5) -> None:
        """Reads what has come, and commits the streams that are due."""
        for records in self._source.poll(timeout):
            buffer = self._buffers.get(records.place)
            if buffer is not None and records.following > buffer.next:
                buffer.add(records.rows, records.following, self._clock())
        now = self._clock()
        for stream in self._due(now):
            self._try(stream)
        self._hold(sum(buffer.size for buffer in self._buffers.values()) > self._limits.budget_bytes)
        if now - self._observed >= 1.0:
            self._observe(now)

    def health(self) -> str | None:
        """None while the lake keeps up or comes nearer; otherwise where it stands still. For other threads, too."""
        now = self._clock()
        if now - self._observed > self._limits.stall:
            return f"the loop stands still for {now - self._observed:.0f} s"
        for place, since in list(self._progress.items()):
            if now - since > self._limits.stall:
                return f"{place.stream}/{place.partition}: no progress for {now - since:.0f} s, with events to commit"
        return None

    def flush(self) -> None:
        """Commits all there is.

        Raises:
            TransientError: the store does not answer.
        """
        for stream in sorted({place.stream for place in self._buffers}):
            if self._chunks(stream):
                self._commit(stream)

    def _due(self, now: float) -> list[str]:
        """Streams to commit now, the largest first."""
        sizes: dict[str, int] = {}
        oldest: dict[str, float] = {}
        for place, buffer in self._buffers.items():
            if buffer.since is not None:
                sizes[place.stream] = sizes.get(place.stream, 0) + buffer.size
                oldest[place.stream] = min(oldest.get(place.stream, buffer.since), buffer.since)
        over_budget = sum(sizes.values()) > self._limits.budget_bytes
        return [
            stream
            for stream in sorted(sizes, key=lambda name: -sizes[name])
            if now >= self._retry_at.get(stream, 0.0)
            and (over_budget or sizes[stream] >= self._limits.batch_bytes or now - oldest[stream] >= self._limits.age)
        ]

    def _try(self, stream: str) -> None:
        try:
            self._commit(stream)
        except TransientError as error:
            failures = self._failures[stream] = self._failures.get(stream, 0) + 1
            self.metrics.retries.labels(stream).inc()
            wait = min(self._limits.retry * 2 ** (failures - 1), 15.0)
            self._retry_at[stream] = self._clock() + wait
            log.warning("commit of %s failed, tried again in %.1f s: %s", stream, wait, error)

    def _commit(self, stream: str) -> None:
        started = self._clock()
        chunks = self._chunks(stream)
        # Asked after reading and before the commit: ids never come back, so what was read is of the topic it is called.
        topic_id = self._source.topic_id(stream)
        if topic_id is not None and any(chunk.topic_id != topic_id for chunk in chunks.values()):
            raise TerminalError(
                f"{stream}: its topic was deleted and created again while it was read",
                "the sink starts anew, and reads what the topic is now",
            )
        table = self._tables[stream]
        result = table.append(list(chunks.values()))
        seconds = self._clock() - started
        self._failures.pop(stream, None)
        self._retry_at.pop(stream, None)
        for place, chunk in chunks.items():
            head = chunk.next
            if chunk in result.fenced:
                head = table.head(chunk.topic_id, chunk.partition)
                log.warning("%s/%d was taken over: goes on at %d", stream, place.partition, head)
                self._source.seek(place, head)
            self._buffers[place].restart(head)
            self._progress[place] = self._clock()
        self._source.mark({place: self._buffers[place].first for place in chunks})
        log.info(
            "commit stream=%s version=%d partitions=%d rows=%d bytes=%d fenced=%d seconds=%.3f",
            stream,
            result.version,
            len(result.committed),
            sum(chunk.rows.num_rows for chunk in result.committed),
            sum(chunk.size for chunk in result.committed),
            len(result.fenced),
            seconds,
        )
        self.metrics.flush.labels(stream).observe(seconds)
        self.metrics.refused.labels(stream).inc(len(result.fenced))
        self.metrics.events.labels(stream).inc(sum(chunk.rows.num_rows for chunk in result.committed))
        self.metrics.bytes.labels(stream).inc(sum(chunk.size for chunk in result.committed))

    def _observe(self, now: float) -> None:
        """Shows how far behind the lake is, and what is held."""
        self._observed = now
        ends = self._source.ends(self._buffers)
        for stream in {place.stream for place in self._buffers}:
            buffers = [buffer for place, buffer in self._buffers.items() if place.stream == stream]
            oldest = min((buffer.since for buffer in buffers if buffer.since is not None), default=now)
            self.metrics.age.labels(stream).set(now - oldest)
            self.metrics.buffered.labels(stream).set(sum(buffer.size for buffer in buffers))
        for place, buffer in self._buffers.items():
            lag = max(ends.get(place, buffer.next) - buffer.first, 0)
            if lag == 0 or place not in self._caught_up:
                self._caught_up[place] = self._progress[place] = now
            self.metrics.lag.labels(place.stream, str(place.partition)).set(lag)
            self.metrics.behind.labels(place.stream, str(place.partition)).set(now - self._caught_up[place])

    def _chunks(self, stream: str) -> dict[Place, Chunk]:
        found = {}
        for place, buffer in self._buffers.items():
            if place.stream == stream and (chunk := buffer.chunk()) is not None:
                found[place] = chunk
        return found

    def _hold(self, held: bool) -> None:
        if held != self._held:
            self._held = held
            self._source.hold(held)
