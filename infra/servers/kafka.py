"""Kafka: one node, both broker and controller."""

import base64
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
log.cleaner.dedupe.buffer.size=16777216
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
        SluiceError: the storage cannot be formatted; the message includes the last line of the tool's output.
    """
    folder = _folder(settings)
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
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
    memory = ["-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError", "-Djava.awt.headless=true"]
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
