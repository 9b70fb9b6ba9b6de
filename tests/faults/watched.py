"""A stream whose every value can be computed from its place, the sinks that land it, and the check of the lake."""

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
from tests.servers import Stream
from tests.waiting import wait

DAY_MS = 86_400_000
START_MS = 1_357_035_300_000
"""2013-01-01T10:15:00Z."""
DATES = 3
"""Each run of records lies on so many dates, so that a commit writes as many files."""


def value_of(partition: int, offset: int) -> bytes:
    """The value of the record at a place."""
    place = f"{partition}:{offset}:".encode()
    return place + hashlib.blake2b(place).hexdigest().encode()


class Watched:
    """A stream with sinks that can be killed, behind a proxy that can fail."""

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
        self._keeping: list[tuple[threading.Event, threading.Thread]] = []

    @property
    def partitions(self) -> range:
        return range(self.stream.contract.topic.partitions)

    def send(self, count: int) -> None:
        """Sends as many records to each partition, and waits until Kafka has them."""
        if self._producer is None:
            self._producer = Producer(
                {"bootstrap.servers": self.stream.settings.kafka, "enable.idempotence": True, "linger.ms": 5}
            )
        faults: list[KafkaError] = []

        def delivered(error: KafkaError | None, _: Message) -> None:
            if error is not None:
                faults.append(error)

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
            left = self._producer.flush(60)
        assert not left, f"{left} records did not reach Kafka"
        assert not faults, faults

    @contextmanager
    def load(self, count: int = 50, pause: float = 0.05) -> Iterator[None]:
        """Sends all the while: ``count`` records to each partition, then a pause of so many seconds."""
        stop = threading.Event()
        faults: list[BaseException] = []

        def run() -> None:
            try:
                while not stop.wait(pause):
                    self.send(count)
            except BaseException as error:  # noqa: BLE001 - it is raised below, in the test's own thread
                faults.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
        if faults:
            raise faults[0]

    def start(self, *point: str | int) -> "subprocess.Popen[bytes]":
        """Starts a sink, which a point may end; its log is kept."""
        command = [sys.executable, "-m", "tests.faults.killable_sink", self.group, *map(str, point)]
        with self._log.open("ab") as log:
            process = subprocess.Popen(command, env=self._environment, cwd=ROOT, stderr=log)
        self.stream.processes.append(process)
        return process

    def keep_running(self) -> None:
        """Starts a sink, and another whenever it ends, as a supervisor does."""
        stopping = threading.Event()

        def run() -> None:
            while not stopping.is_set():
                process = self.start()
                while process.poll() is None:
                    if stopping.wait(0.05):
                        self.stop(process)

        thread = threading.Thread(target=run)
        thread.start()
        self._keeping.append((stopping, thread))

    def stop_keeping(self) -> None:
        """Ends the sinks that are kept running."""
        while self._keeping:
            stopping, thread = self._keeping.pop()
            stopping.set()
            thread.join()

    def stop(self, process: "subprocess.Popen[bytes]") -> None:
        """Ends a sink as its supervisor does."""
        process.terminate()
        process.wait(timeout=60)

    def kill(self, process: "subprocess.Popen[bytes]") -> None:
        os.kill(process.pid, signal.SIGKILL)
        process.wait(timeout=30)

    def land(self) -> None:
        """Runs a sink without faults until the lake has everything."""
        self.proxy.heal()
        sink = self.start()
        self.stream.wait_for_lake()
        self.stream.stop_sink(sink)

    def logged(self) -> str:
        """What all sinks have said."""
        return self._log.read_text() if self._log.exists() else ""

    def wait_for(self, what: str, reached: Callable[[], bool]) -> None:
        """Waits until something is so."""
        wait(what, reached, every=0.05, detail=lambda: self.logged()[-3000:])

    def check(self, what: str, before: Mapping[tuple[str, int], int] | None = None) -> None:
        """Scans the lake: every offset that Kafka has is there once, with the value that belongs to its place.

        Args:
            what: was done, for the summary.
            before: the ends, per place, of topics of the same name that are gone; their offsets are there once, too.
        """
        reader = LakeReader(self.stream.settings, self.stream.name)
        rows = reader.rows(pc.scalar(True), ["topic_id", "partition", "offset", "value"])
        ends = dict(before or {})
        for held in kafka_ranges(self.stream.settings, [self.stream.name]):
            assert held.end == self.sent[held.partition], "the producer itself lost or doubled records"
            ends[held.topic_id, held.partition] = held.end
        total = 0
        for (topic_id, partition), end in ends.items():
            here = rows.filter((pc.field("topic_id") == topic_id) & (pc.field("partition") == partition))
            here = here.sort_by("offset")
            offsets = here["offset"].to_pylist()
            doubled = len(offsets) - len(set(offsets))
            missing = set(range(end)) - set(offsets)
            assert not doubled, f"{partition}: {doubled} offsets of {end} are doubled"
            assert not missing, f"{partition}: {len(missing)} offsets of {end} are missing: {_some(missing)}"
            assert offsets == list(range(end))
            assert digest(here["value"]) == expected_digest(partition, end)
            total += len(offsets)
        assert total == rows.num_rows, f"{rows.num_rows - total} rows belong to no partition of the topic"
        version, files = reader.table.version(), len(reader.table.file_uris())
        injected = ", ".join(f"{count} x {name}" for name, count in self.proxy.injected.items())
        self.say(
            f"{what}{'; injected ' + injected if injected else ''}; {len(self.stream.processes)} sink processes; "
            f"{total:,} offsets in {len(ends)} partitions, each once, hashes equal (version {version}, {files} files)"
        )

    def close(self) -> None:
        self.stop_keeping()


def digest(values: pa.ChunkedArray) -> str:
    """A hash of values in their order."""
    found = hashlib.sha256()
    for value in values.to_pylist():
        found.update(value)
    return found.hexdigest()


def expected_digest(partition: int, end: int) -> str:
    """The hash of the values that were sent to a partition."""
    found = hashlib.sha256()
    for offset in range(end):
        found.update(value_of(partition, offset))
    return found.hexdigest()


def _some(offsets: set[int]) -> str:
    return ", ".join(map(str, sorted(offsets)[:5]))
