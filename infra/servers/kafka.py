"""Kafka: one node, both broker and controller."""

import base64
import shutil
import subprocess
import uuid
from pathlib import Path

from infra.servers import probes
from infra.servers.service import TOOLS, Service
from infra.servers.toolchains import java
from sluice.errors import SluiceError
from sluice.settings import LOOPBACK, ROOT, Settings

VERSION = "4.3.1"
JARS = TOOLS / f"kafka-{VERSION}"
MIN_FREE_MIB = 100
"""Free space that Kafka needs to start.

After a crash it rebuilds the indexes of its files. On a full disk that fails, so that it takes a file for corrupt and
empties it: if it is the file of its metadata, all topics and their records are lost.
"""
LOG_CONFIGURATION = ROOT / "infra" / "kafka" / "log4j2.properties"

PROPERTIES = """\
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{loopback}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
controller.quorum.voters=1@{loopback}:{controller_port}
log.dirs={data}
# Topics come from the contracts; one auto-created from a misspelt name would keep its records for only a week.
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
# The log cleaner compacts only the small internal topics.
log.cleaner.dedupe.buffer.size=4194304
num.network.threads=2
num.io.threads=4
"""


def _folder(settings: Settings) -> Path:
    return settings.home / "kafka"


def classpath() -> list[str]:
    """Returns the options of Java for Kafka's programs."""
    return ["-cp", f"{JARS}/*", f"-Dlog4j2.configurationFile={LOG_CONFIGURATION}"]


def prepare(settings: Settings) -> None:
    """Writes the broker's properties; on the first start also formats its storage.

    Raises:
        SluiceError: the disk is full, or the storage cannot be formatted; then the message includes the last line of
            the tool's output.
    """
    folder = _folder(settings)
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(data).free >> 20
    if free < MIN_FREE_MIB:
        raise SluiceError(
            f"cannot start Kafka: the disk of {data} has {free} MiB left, and Kafka loses records if it starts without"
            f" {MIN_FREE_MIB} MiB",
            "free space on that disk; Kafka then starts by itself",
        )
    properties = folder / "server.properties"
    properties.write_text(
        PROPERTIES.format(
            host=settings.kafka_host,
            port=settings.kafka_port,
            loopback=LOOPBACK,
            controller_port=settings.kafka_controller_port,
            data=data,
        )
    )
    if (data / "meta.properties").exists():
        return
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    command = [java(), *classpath(), "kafka.tools.StorageTool", "format", "--ignore-formatted"]
    # With `=`: as a separate word, an id that starts with a dash would be parsed as an option.
    command += [f"--cluster-id={cluster}", f"--config={properties}"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        output = (result.stderr or result.stdout).strip().splitlines() or ["no output"]
        hint = "fix the cause, or run `make clean` to start from scratch"
        raise SluiceError(f"cannot format Kafka's storage in {data}: {output[-1]}", hint)


def command(settings: Settings) -> list[str]:
    """Returns the broker's command line."""
    memory = ["-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError", "-Djava.awt.headless=true"]
    return [java(), *memory, *classpath(), "kafka.Kafka", str(_folder(settings) / "server.properties")]


KAFKA = Service(
    name="kafka",
    needs=("install java", "install kafka"),
    ports=("kafka_port", "kafka_controller_port"),
    prepare=prepare,
    command=command,
    check_health=lambda settings: probes.kafka(settings.kafka_host, settings.kafka_port),
    stop_seconds=30,
)
