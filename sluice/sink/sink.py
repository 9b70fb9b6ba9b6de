"""The sink's loop: read, buffer, commit. It keeps no state of its own: the lake has each partition's next offset."""

import contextlib
import logging
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from sluice.errors import TerminalError, TransientError
from sluice.lake.chunk import Chunk
from sluice.sink.buffer import PartitionBuffer
from sluice.sink.date_limit import limit_dates
from sluice.sink.flush_policy import DEFAULT, FlushPolicy
from sluice.sink.metrics import Metrics
from sluice.sink.protocols import Source, Table, TopicPartition

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Halt:
    """A partition that is not read until an operator acts; the others continue."""

    topic_id: str
    next_offset: int
    error: TerminalError


@dataclass(frozen=True)
class _Watermark:
    """Kafka's end of a partition, and when the sink saw it."""

    offset: int
    seen_at: float


class Sink:
    """Moves records from a source to the lake's tables. Single-threaded; ``clock`` returns seconds."""

    def __init__(
        self,
        source: Source,
        tables: dict[str, Table],
        clock: Callable[[], float],
        flush_policy: FlushPolicy = DEFAULT,
        metrics: Metrics | None = None,
    ) -> None:
        self.metrics = metrics or Metrics()
        self._source = source
        self._tables = tables
        self._clock = clock
        self._flush_policy = flush_policy
        self._buffers: dict[TopicPartition, PartitionBuffer] = {}
        self._failures: dict[str, int] = {}
        self._retry_at: dict[str, float] = {}
        self._paused: set[TopicPartition] = set()
        self._catching_up: set[str] = set()
        self._halted: dict[TopicPartition, Halt] = {}
        self._rechecked_at = clock()
        self._taken_over: dict[TopicPartition, int] = {}
        self._watermarks: dict[TopicPartition, _Watermark] = {}
        self._caught_up_at: dict[TopicPartition, float] = {}
        self._progress_at: dict[TopicPartition, float] = {}
        self._observed_at = self._alive_at = clock()

    def assigned(self, topic_ids: Mapping[TopicPartition, str]) -> None:
        """Takes over partitions, and begins to read them at the lake's next offsets.

        A partition that Kafka cannot continue from there is halted.
        """
        next_offsets: dict[TopicPartition, int | None] = {}
        for topic_partition, topic_id in topic_ids.items():
            table = self._tables[topic_partition.stream]
            next_offset = table.next_offset(topic_id, topic_partition.partition)
            last_record = table.last_record(topic_id, topic_partition.partition)
            self._taken_over[topic_partition] = next_offset
            try:
                self._source.check(topic_partition, topic_id, next_offset, last_record)
            except TerminalError as error:
                log.error("halted: %s", error)
                self._halted[topic_partition] = Halt(topic_id, next_offset, error)
                next_offsets[topic_partition] = None
            else:
                self._buffers[topic_partition] = PartitionBuffer(topic_id, topic_partition.partition, next_offset)
                next_offsets[topic_partition] = next_offset
        self._source.assign(next_offsets)
        self._catching_up |= {topic_partition.stream for topic_partition in topic_ids}
        self._paused -= topic_ids.keys()
        self._keep_budget()

    def revoked(self, topic_partitions: Iterable[TopicPartition]) -> None:
        """Commits and gives up partitions. Records that cannot be committed now are read again by the next owner."""
        revoked = set(topic_partitions)
        for stream in sorted({topic_partition.stream for topic_partition in revoked}):
            if self._chunks(stream):
                try:
                    self._commit(stream)
                except TransientError as error:
                    log.warning("commit before revocation failed: stream=%s error=%s", stream, error)
        self.lost(revoked)

    def lost(self, topic_partitions: Iterable[TopicPartition]) -> None:
        """Drops partitions that another member may already own."""
        for topic_partition in topic_partitions:
            self._buffers.pop(topic_partition, None)
            self._paused.discard(topic_partition)
            self._halted.pop(topic_partition, None)
            self._taken_over.pop(topic_partition, None)
            self._watermarks.pop(topic_partition, None)
            self._caught_up_at.pop(topic_partition, None)
            self._progress_at.pop(topic_partition, None)
            for gauge in (self.metrics.lag, self.metrics.behind):
                with contextlib.suppress(KeyError):
                    gauge.remove(topic_partition.stream, str(topic_partition.partition))

    def step(self, timeout: float = 0.5) -> None:
        """Reads the available records, and commits the streams that are due."""
        self._alive_at = self._clock()
        for records in self._source.poll(timeout):
            buffer = self._buffers.get(records.topic_partition)
            if buffer is not None and records.next_offset > buffer.next_offset:
                buffer.add(records.rows, records.next_offset, self._clock())
        if self._taken_over:
            # The group may be new, or behind the lake: an idle partition would show a lag that it does not have.
            self._source.commit_offsets(self._taken_over)
            self._taken_over = {}
        now = self._clock()
        caught_up = {stream for stream in self._catching_up if self._has_caught_up(stream)}
        self._catching_up -= caught_up
        for stream in self._due(now, caught_up):
            self._try_commit(stream)
        self._keep_budget()
        if self._halted and now - self._rechecked_at >= self._flush_policy.recheck:
            self._recheck(now)
        if now - self._observed_at >= 1.0:
            self._observe(now)

    def health(self) -> str | None:
        """Returns None while the lake keeps up or catches up, otherwise what is stuck. Thread-safe."""
        now = self._clock()
        if now - self._observed_at > self._flush_policy.stall:
            return f"no loop iteration for {now - self._observed_at:.0f} s"
        for topic_partition, since in list(self._progress_at.items()):
            if now - since > self._flush_policy.stall:
                name = f"{topic_partition.stream}/{topic_partition.partition}"
                return f"{name}: no progress for {now - since:.0f} s, with events to commit"
        return None

    def halted(self) -> str | None:
        """Returns why partitions are halted, in one line; None if none is. Thread-safe."""
        return " ".join(str(halt.error) for _, halt in sorted(self._halted.copy().items())) or None

    def liveness(self) -> str | None:
        """Returns None while the loop runs, even if the store or Kafka is down; otherwise why a restart would help.

        Thread-safe.
        """
        blocked = self._clock() - self._alive_at
        return f"one call has taken {blocked:.0f} s" if blocked > self._flush_policy.hang else None

    def flush(self) -> None:
        """Commits all buffered records.

        Raises:
            TransientError: the store is down.
        """
        for stream in sorted({topic_partition.stream for topic_partition in self._buffers}):
            if self._chunks(stream):
                self._commit(stream)

    def _due(self, now: float, caught_up: Collection[str]) -> list[str]:
        """Returns the streams to commit now, largest first; those in ``caught_up`` have just read their backlog."""
        sizes: dict[str, int] = {}
        oldest: dict[str, float] = {}
        for topic_partition, buffer in self._buffers.items():
            if buffer.since is not None:
                sizes[topic_partition.stream] = sizes.get(topic_partition.stream, 0) + buffer.size
                oldest[topic_partition.stream] = min(oldest.get(topic_partition.stream, buffer.since), buffer.since)
        over_budget = sum(sizes.values()) > self._flush_policy.budget_bytes
        return [
            stream
            for stream in sorted(sizes, key=lambda name: -sizes[name])
            if now >= self._retry_at.get(stream, 0.0)
            and (
                over_budget
                or stream in caught_up
                or sizes[stream] >= self._flush_policy.batch_bytes
                or now - oldest[stream] >= self._flush_policy.age
            )
        ]

    def _has_caught_up(self, stream: str) -> bool:
        """Returns whether a stream's backlog, which has waited in Kafka already, is read to its end."""
        return all(
            buffer.next_offset >= self._source.high_watermarks([topic_partition]).get(topic_partition, math.inf)
            for topic_partition, buffer in self._buffers.items()
            if topic_partition.stream == stream
        )

    def _try_commit(self, stream: str) -> None:
        try:
            self._commit(stream)
        except TransientError as error:
            failures = self._failures[stream] = self._failures.get(stream, 0) + 1
            self.metrics.retries.labels(stream).inc()
            wait = min(self._flush_policy.retry * 2 ** (failures - 1), 15.0)
            self._retry_at[stream] = self._clock() + wait
            log.warning("commit of %s failed, retrying in %.1f s: %s", stream, wait, error)

    def _commit(self, stream: str) -> None:
        chunks = self._chunks(stream)
        # Queried after reading and before the commit. Topic ids are never reused, so if the id has not changed, all
        # records belong to this topic.
        topic_id = self._source.topic_id(stream)
        if topic_id is not None and any(chunk.topic_id != topic_id for chunk in chunks.values()):
            raise TerminalError(
                f"{stream}: the topic was deleted and created again while the sink was reading it",
                "wait for the sink to restart, which reads the current topic",
            )
        for part in limit_dates(chunks, self._flush_policy.dates):
            self._commit_part(stream, {key: chunk for key, chunk in part.items() if key in chunks}, chunks)
        self._failures.pop(stream, None)
        self._retry_at.pop(stream, None)

    def _commit_part(
        self, stream: str, part: Mapping[TopicPartition, Chunk], chunks: dict[TopicPartition, Chunk]
    ) -> None:
        """Commits a part of each chunk. Removes partitions that are done from ``chunks``.

        A part that is in the lake stays in the buffer until the others are: if one of them fails, the retry finds it
        there.
        """
        if not part:
            return
        started = self._alive_at = self._clock()
        table = self._tables[stream]
        result = table.append(list(part.values()))
        self._alive_at = self._clock()
        seconds = self._alive_at - started
        done: dict[TopicPartition, int] = {}
        for topic_partition, chunk in part.items():
            if chunk in result.fenced:
                next_offset = table.next_offset(chunk.topic_id, chunk.partition)
                log.warning("%s/%d fenced; resuming at %d", stream, topic_partition.partition, next_offset)
                self._source.seek(topic_partition, next_offset)
                done[topic_partition] = next_offset
            elif chunk.next_offset == chunks[topic_partition].next_offset:
                done[topic_partition] = chunk.next_offset
            self._progress_at[topic_partition] = self._clock()
        for topic_partition, next_offset in done.items():
            self._buffers[topic_partition].restart(next_offset)
            del chunks[topic_partition]
        if done:
            self._source.commit_offsets(done)
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
        self.metrics.fenced.labels(stream).inc(len(result.fenced))
        self.metrics.events.labels(stream).inc(sum(chunk.rows.num_rows for chunk in result.committed))
        self.metrics.bytes.labels(stream).inc(sum(chunk.size for chunk in result.committed))

    def _recheck(self, now: float) -> None:
        """Restarts the sink once an operator has recorded a gap, or created the topic again.

        That Kafka's end has passed the lake's next offset meanwhile resolves nothing: the offsets in between were used
        again for other records.

        Raises:
            TransientError: a halted partition may be readable now.
        """
        self._rechecked_at = now
        for topic_partition, halt in self._halted.items():
            table = self._tables[topic_partition.stream]
            try:
                table.open()
                next_offset = table.next_offset(halt.topic_id, topic_partition.partition)
                topic_id = self._source.topic_id(topic_partition.stream)
            except TransientError as error:
                log.warning("halted partitions not checked again: %s", error)
                return
            if next_offset != halt.next_offset or topic_id not in (None, halt.topic_id):
                raise TransientError(
                    f"{topic_partition.stream}/{topic_partition.partition}: what halted it has changed",
                    "wait for the sink to restart, which resumes it",
                )

    def _observe(self, now: float) -> None:
        """Updates the metrics of lag and buffered records."""
        self._observed_at = now
        high_watermarks = self._source.high_watermarks(self._buffers)
        for stream in {topic_partition.stream for topic_partition in self._buffers}:
            buffers = [buffer for topic_partition, buffer in self._buffers.items() if topic_partition.stream == stream]
            oldest = min((buffer.since for buffer in buffers if buffer.since is not None), default=now)
            self.metrics.age.labels(stream).set(now - oldest)
            self.metrics.buffered.labels(stream).set(sum(buffer.size for buffer in buffers))
        for topic_partition, buffer in self._buffers.items():
            end = max(high_watermarks.get(topic_partition, buffer.next_offset), buffer.start_offset)
            lag = end - buffer.start_offset
            if lag == 0 or topic_partition not in self._caught_up_at:
                self._progress_at[topic_partition] = now
                self._watermarks[topic_partition] = _Watermark(end, now)
                self._caught_up_at[topic_partition] = now
            elif buffer.start_offset >= (seen := self._watermarks[topic_partition]).offset:
                # Under steady traffic the lag is never zero: what Kafka had when it was last looked at is in the lake.
                self._watermarks[topic_partition] = _Watermark(end, now)
                self._caught_up_at[topic_partition] = seen.seen_at
            self.metrics.lag.labels(topic_partition.stream, str(topic_partition.partition)).set(lag)
            self.metrics.behind.labels(topic_partition.stream, str(topic_partition.partition)).set(
                now - self._caught_up_at[topic_partition]
            )

    def _chunks(self, stream: str) -> dict[TopicPartition, Chunk]:
        chunks = {}
        for topic_partition, buffer in self._buffers.items():
            if topic_partition.stream == stream and (chunk := buffer.chunk()) is not None:
                chunks[topic_partition] = chunk
        return chunks

    def _keep_budget(self) -> None:
        """Pauses every partition while the buffers are over budget, also those assigned meanwhile."""
        over_budget = sum(buffer.size for buffer in self._buffers.values()) > self._flush_policy.budget_bytes
        wanted = set(self._buffers) if over_budget else set()
        if wanted and not self._paused:
            log.warning("reading paused: the buffers are full")
        if paused := wanted - self._paused:
            self._source.pause(paused)
        if resumed := self._paused - wanted:
            self._source.resume(resumed)
        self._paused = wanted
