"""Temporary servers for a benchmark, and the installation of the programs that it compares with."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from infra.config.ports import free_ports
from infra.config.settings_file import PORTS, ensure_settings_file
from infra.install.installs import COPY_GOAL
from infra.processes import processes
from infra.servers import kafka, toolchains
from infra.servers.service import TOOLS
from infra.supervision.platform import Platform
from sluice.contracts import load_contracts
from sluice.kafka import topics
from sluice.lake import bucket
from sluice.settings import ROOT, Settings
from sluice.warehouse import schema

STREAM = "bench.departed"
PYTHON = ROOT / ".venv-bench" / "bin" / "python"
KAFKA_TOOLS = TOOLS / f"kafka-connect-{kafka.VERSION}"


@contextmanager
def servers(names: list[str], partitions: int, folder: Path | None = None) -> Iterator[tuple[Settings, Path]]:
    """Starts empty servers; yields their settings and the settings file.

    Args:
        names: the platform's names of the services. MinIO gets a bucket, Kafka a topic, Postgres the tables.
        partitions: the number of partitions of the topic.
        folder: the parent folder of their data; by default the system's folder for temporary files.
    """
    with TemporaryDirectory(prefix="sluice-bench-", dir=folder) as temporary:
        home = Path(temporary)
        contracts = home / "contracts"
        contracts.mkdir()
        contract = yaml.safe_load((ROOT / "contracts" / "flights.departed.yaml").read_text())
        contract |= {"stream": STREAM, "topic": {"partitions": partitions, "retention_bytes": 1 << 40}}
        (contracts / f"{STREAM}.yaml").write_text(yaml.safe_dump(contract, sort_keys=False))
        file = home / "settings.env"
        ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        ensure_settings_file(file, {"home": home / "home", "contracts": contracts, **ports})
        settings = Settings(_env_file=file)  # type: ignore[call-arg]
        platform = Platform(settings, file)
        try:
            platform.start(names)
            if "minio" in names:
                bucket.provision(settings)
            if "kafka" in names:
                topics.provision(settings, load_contracts(contracts))
            if "postgres" in names:
                schema.provision(settings, load_contracts(contracts))
            yield settings, file
        finally:
            platform.stop()


def install_contestants() -> None:
    """Creates .venv-bench for the contestants and downloads Kafka's tools with Iceberg, unless they exist."""
    uv = ROOT / "infra" / "uv"
    if not PYTHON.exists():
        subprocess.run([uv, "venv", "--python", ROOT / ".venv" / "bin" / "python", PYTHON.parent.parent], check=True)
    lock = ROOT / "infra" / "requirements" / "bench.txt"
    subprocess.run([uv, "pip", "sync", "--require-hashes", "--python", PYTHON, lock], check=True)
    maven = toolchains.find_maven()
    if not KAFKA_TOOLS.exists() and maven:
        options = [f"-DoutputDirectory={KAFKA_TOOLS}"]
        pom = Path(__file__).parent / "sink" / "pom.xml"
        environment = {**os.environ, "JAVA_HOME": str(Path(toolchains.java()).parent.parent)}
        command = [maven, "--batch-mode", "--quiet", "--strict-checksums", "-f", pom, COPY_GOAL, *options]
        subprocess.run(command, check=True, env=environment)


def server_cpu(settings: Settings) -> float:
    """Returns the CPU-seconds that the servers have used so far, their exited children included."""
    return sum(sum(process.cpu_times()[:4]) for process, _ in processes.owned(settings.home))


def delete_objects(settings: Settings, prefix: str) -> dict[str, int]:
    """Deletes all objects below a prefix; returns the numbers of data and log objects, and their total bytes."""
    client = bucket.client(settings, "root")
    counts = {"objects": 0, "log_objects": 0, "bytes": 0}
    for stored in list(client.list_objects(bucket_name=settings.lake_bucket, prefix=f"{prefix}/", recursive=True)):
        counts["log_objects" if "/_delta_log/" in stored.object_name else "objects"] += 1
        counts["bytes"] += stored.size
        client.remove_object(bucket_name=settings.lake_bucket, object_name=stored.object_name)
    return counts
