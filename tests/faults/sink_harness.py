"""A stream whose values follow from partition and offset, the sinks that write it, and the check of the lake."""

import hashlib
import os
import signal
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from confluent_kafka import KafkaError, Message, Producer

from sluice.kafka.topics import kafka_ranges
from sluice.lake.reader import LakeReader
from sluice.settings import ROOT
from tests.faults.proxy import Proxy
from tests.fixtures.servers import Stream
from tests.fixtures.waiting import wait

DAY_MS = 86_400_000
START_MS = 1_357_035_300_000
"""2013-01-01T10:15:00Z."""
DATES = 3
"""Records are spread over this many dates, so that a commit writes as many files."""


def value_of(partition: int, offset: int) -> bytes:
    """Returns the value of the record at an offset."""
    prefix = f"{partition}:{offset}:".encode()
    return prefix + hashlib.blake2b(prefix).hexdigest().encode()


class SinkHarness:
    """A stream with sinks that can be killed, behind a proxy that can inject faults."""

    def __init__(self, stream: Stream, proxy: Proxy, log: Path, say: Callable[[str], None]) -> None:
        self.stream = stream
        self.proxy = proxy
        self.say = say
        self.group = f"sluice-sink-{stream.name}"
        self.sent: dict[int, int] = defaultdict(int)
        """Records sent per partition."""
        self._log = log
        self._environment = stream.environment | {"SLUICE_MINIO_PORT": str(proxy.port)}
        self._producer: Producer | None = None
        self._lock = threading.Lock()
        self._kept_running: list[tuple[threading.Event, threading.Thread]] = []

    @property
    def partitions(self) -> range:
        return range(self.stream.contract.topic.partitions)

    def send(self, count: int) -> None:
        """Sends ``count`` records to each partition, and waits until Kafka has them."""
        if self._producer is None:
            self._producer = Producer(
                {"bootstrap.servers": self.stream.settings.kafka, "enable.idempotence": True, "linger.ms": 5}
            )
        errors: list[KafkaError] = []

        def delivered(error: KafkaError | None, _: Message) -> None:
            if error is not None:
                errors.append(error)

        with self._lock:
            for partition in self.partitions:
                for offset in range(self.sent[partition], self.sent[partition] + count):
                    time_ms = START_MS + offset % DATES * DAY_MS
                    value = value_of(partition, offset)
                    self._producer.produce(
                        self.stream.name, value, b"k", partition, on_delivery=delivered, timestamp=time_ms
                    )
                    if offset % 10_000 == 0:
                        assert self._producer.flush(60) == 0
                self.sent[partition] += count
            undelivered = self._producer.flush(60)
        assert not undelivered, f"{undelivered} records did not reach Kafka"
        assert not errors, errors

    @contextmanager
    def load(self, count: int = 50, pause: float = 0.05) -> Iterator[None]:
        """Sends ``count`` records to each partition, pauses for ``pause`` seconds, and repeats, in the background."""
        stop = threading.Event()
        errors: list[BaseException] = []

        def run() -> None:
            try:
                while not stop.wait(pause):
                    self.send(count)
            except BaseException as error:  # noqa: BLE001 - raised below, in the test's thread
                errors.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
        if errors:
            raise errors[0]

    def start(self, *kill_point: str | int) -> "subprocess.Popen[bytes]":
        """Starts a sink, optionally with a kill point, and appends its output to the log."""
        command = [sys.executable, "-m", "tests.faults.killable_sink", self.group, *map(str, kill_point)]
        with self._log.open("ab") as log:
            process = subprocess.Popen(command, env=self._environment, cwd=ROOT, stderr=log)
        self.stream.processes.append(process)
        return process

    def keep_running(self) -> None:
        """Starts a sink, and restarts it whenever it ends, as a supervisor does."""
        stopping = threading.Event()

        def run() -> None:
            while not stopping.is_set():
                process = self.start()
                while process.poll() is None:
                    if stopping.wait(0.05):
                        self.stop(process)

        thread = threading.Thread(target=run)
        thread.start()
        self._kept_running.append((stopping, thread))

    def stop_running(self) -> None:
        """Stops the sinks that are kept running."""
        while self._kept_running:
            stopping, thread = self._kept_running.pop()
            stopping.set()
            thread.join()

    def stop(self, process: "subprocess.Popen[bytes]") -> None:
        """Stops a sink as its supervisor does."""
        process.terminate()
        process.wait(timeout=60)

    def kill(self, process: "subprocess.Popen[bytes]") -> None:
        """Kills a sink."""
        os.kill(process.pid, signal.SIGKILL)
        process.wait(timeout=30)

    def land(self) -> None:
        """Runs a sink without faults until the lake has everything."""
        self.proxy.heal()
        sink = self.start()
        self.stream.wait_for_lake()
        self.stream.stop_sink(sink)

    def logged(self) -> str:
        """Returns the output of all sinks."""
        return self._log.read_text() if self._log.exists() else ""

    def wait_for(self, description: str, condition: Callable[[], bool]) -> None:
        """Waits until a condition is true; a failure shows the end of the log."""
        wait(description, condition, every=0.05, detail=lambda: self.logged()[-3000:])

    def check(self, scenario: str, before: Mapping[tuple[str, int], int] | None = None) -> None:
        """Scans the lake and requires every offset in Kafka exactly once, with its value.

        Args:
            scenario: describes the test in the summary.
            before: the ends per topic id and partition of deleted topics of the same name, whose offsets must be in
                the lake exactly once, too.
        """
        reader = LakeReader(self.stream.settings, self.stream.name)
        rows = reader.rows(pc.scalar(True), ["topic_id", "partition", "offset", "value"])
        ends = dict(before or {})
        for kafka_range in kafka_ranges(self.stream.settings, self.stream.topics):
            assert kafka_range.end == self.sent[kafka_range.partition], "the producer lost or duplicated records"
            ends[kafka_range.topic_id, kafka_range.partition] = kafka_range.end
        total = 0
        for (topic_id, partition), end in ends.items():
            partition_rows = rows.filter((pc.field("topic_id") == topic_id) & (pc.field("partition") == partition))
            partition_rows = partition_rows.sort_by("offset")
            offsets = partition_rows["offset"].to_pylist()
            duplicates = len(offsets) - len(set(offsets))
            missing = set(range(end)) - set(offsets)
            assert not duplicates, f"{partition}: {duplicates} of {end} offsets are duplicated"
            assert not missing, f"{partition}: {len(missing)} of {end} offsets are missing: {_sample(missing)}"
            assert offsets == list(range(end))
            assert digest(partition_rows["value"]) == expected_digest(partition, end)
            total += len(offsets)
        assert total == rows.num_rows, f"{rows.num_rows - total} rows belong to no partition of the topic"
        version, files = reader.table.version(), len(reader.table.file_uris())
        injected = ", ".join(f"{count} x {name}" for name, count in self.proxy.injected.items())
        self.say(
            f"{scenario}{'; injected ' + injected if injected else ''}; {len(self.stream.processes)} sink processes; "
            f"{total:,} offsets in {len(ends)} partitions, each exactly once, hashes match (version {version}, "
            f"{files} files)"
        )

    def close(self) -> None:
        """Stops all sinks that are kept running."""
        self.stop_running()


def digest(values: pa.ChunkedArray) -> str:
    """Returns the SHA-256 of values in order."""
    result = hashlib.sha256()
    for value in values.to_pylist():
        result.update(value)
    return result.hexdigest()


def expected_digest(partition: int, end: int) -> str:
    """Returns the SHA-256 of the values that were sent to a partition."""
    result = hashlib.sha256()
    for offset in range(end):
        result.update(value_of(partition, offset))
    return result.hexdigest()


def _sample(offsets: set[int]) -> str:
    return ", ".join(map(str, sorted(offsets)[:5]))
