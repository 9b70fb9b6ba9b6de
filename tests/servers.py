"""Real Kafka, MinIO and Postgres for the tests, on free ports and in a folder of their own."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kafka import KafkaProducer

from flights.live_view import schema as live_view
from infra.config.ports import free_ports
from infra.config.settings_file import PORTS, ensure_environment
from infra.supervision.platform import Platform
from sluice.contracts import Contract, load_contracts
from sluice.errors import TransientError
from sluice.kafka import topics
from sluice.lake import bucket
from sluice.lake.layout import transaction_id
from sluice.lake.reader import LakeReader
from sluice.settings import ROOT, Settings
from sluice.warehouse import schema
from tests.waiting import wait

CONTRACT = """\
stream: {stream}
description: Readings for the tests.
owner: tests
topic: {{partitions: {partitions}, retention_bytes: 1073741824}}
key: sensor
event_time: read_at
lateness: 1h
load: {{schedule: "*/5 * * * *"}}
columns:
  - {{name: event_id, type: string, nullable: false, description: Identifies the event.}}
  - {{name: sensor, type: string, nullable: false, description: Who read it.}}
  - {{name: read_at, type: timestamp, nullable: false, description: When.}}
  - {{name: reading, type: int32, minimum: 0, description: What was read.}}
"""


@pytest.fixture(scope="session")
def environment_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("servers")
    file = folder / "settings.env"
    ensure_environment(file, {"home": folder / "home", **dict(zip(PORTS, free_ports(len(PORTS)), strict=True))})
    return file


@pytest.fixture(scope="session")
def servers(environment_file: Path) -> Iterator[Settings]:
    """Settings of running, empty servers with their bucket, users, roles and databases."""
    settings = Settings(_env_file=environment_file)  # type: ignore[call-arg]
    platform = Platform(settings, environment_file)
    try:
        platform.start(["kafka", "postgres", "minio"])
        bucket.provision(settings)
        schema.provision(settings, {})
        live_view.provision(settings)
        yield settings
    finally:
        platform.stop()


class Stream:
    """A stream of a test's own: its contract, topic and raw table, and the sink's process."""

    def __init__(self, settings: Settings, contract: Contract, environment_file: Path) -> None:
        self.settings = settings
        self.contract = contract
        self.environment = {
            **os.environ,
            "SLUICE_ENV_FILE": str(environment_file),
            "SLUICE_CONTRACTS": str(settings.contracts),
            "SLUICE_SINK_AGE_SECONDS": "1",
            "SLUICE_SINK_PORT": "0",
        }
        self.processes: list[subprocess.Popen[bytes]] = []

    @property
    def name(self) -> str:
        return self.contract.stream

    def send(self, values: list[bytes | None], timestamp_ms: int = 1_357_035_300_000, partition: int = 0) -> None:
        """Sends values and waits until Kafka has them."""
        producer = KafkaProducer(bootstrap_servers=self.settings.kafka, acks="all")
        try:
            sent = [
                producer.send(self.name, value=value, key=b"k", partition=partition, timestamp_ms=timestamp_ms)
                for value in values
            ]
            producer.flush()
            for each in sent:
                each.get(timeout=30)
        finally:
            producer.close()

    SINK = (sys.executable, "-m", "sluice.sink")

    def start_sink(self) -> "subprocess.Popen[bytes]":
        process = subprocess.Popen(self.SINK, env=self.environment, cwd=ROOT)
        self.processes.append(process)
        return process

    def stop_sink(self, process: "subprocess.Popen[bytes]") -> None:
        """Ends a sink as its supervisor does: it commits what it holds."""
        process.terminate()
        assert process.wait(timeout=60) == 0

    def next_offsets(self) -> dict[tuple[str, int], int]:
        """The lake's next offset per partition, read anew."""
        try:
            table = LakeReader(self.settings, self.name).table
        except TransientError:
            return {}
        ranges = topics.kafka_ranges(self.settings, [self.name])
        return {
            (each.topic_id, each.partition): table.transaction_version(transaction_id(each.topic_id, each.partition))
            or 0
            for each in ranges
        }

    def land(self) -> None:
        """Runs a sink until the lake has everything Kafka has."""
        sink = self.start_sink()
        self.wait_for_lake()
        self.stop_sink(sink)

    def wait_for_lake(self) -> None:
        ends = {(each.topic_id, each.partition): each.end for each in topics.kafka_ranges(self.settings, [self.name])}
        wait(f"the lake at Kafka's ends, {ends}", lambda: self.next_offsets() == ends, detail=self.heads)

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()


@pytest.fixture
def make_stream(
    servers: Settings, environment_file: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Stream]]:
    """Makes streams of the test's own."""
    made: list[Stream] = []

    def make(partitions: int = 2) -> Stream:
        folder = tmp_path / f"contracts{len(made)}"
        folder.mkdir()
        name = f"test.n{abs(hash((request.node.nodeid, len(made)))) % 10**12}"
        (folder / f"{name}.yaml").write_text(CONTRACT.format(stream=name, partitions=partitions))
        settings = servers.model_copy(update={"contracts": folder})
        contracts = load_contracts(folder)
        topics.provision(settings, contracts)
        schema.provision(settings, contracts)
        stream = Stream(settings, contracts[name], environment_file)
        made.append(stream)
        return stream

    yield make
    for stream in made:
        stream.close()
