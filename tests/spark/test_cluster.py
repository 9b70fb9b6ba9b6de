"""A real Spark cluster: programs with its secret run on both workers and write Delta tables; any other is refused."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from deltalake import DeltaTable

from infra.processes import processes
from infra.servers import probes
from infra.servers.spark import SPARK
from infra.supervision.platform import Platform
from sluice.lake import bucket
from sluice.settings import Settings
from sluice.settings.spark import SPARK_JARS, SPARK_JAVA_HOME, SPARK_PYTHON
from tests.fixtures.servers import new_environment_file
from tests.fixtures.waiting import wait

NAMES = [service.name for service in SPARK]
START = """\
import json, os, sys
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
"""
WHERE = """\
def where(numbers):
    import sluice
    from sluice.settings import load_settings
    yield sys.executable, sluice.__file__, os.environ["SLUICE_SERVICE"], load_settings().lake_bucket, sum(numbers)
print(json.dumps(spark.sparkContext.parallelize(range(1000), 8).mapPartitions(where).collect()))
"""
TABLE = """\
spark.range(1000).selectExpr("id", "id % 10 as digit").write.format("delta").save("s3a://warehouse/numbers")
rows = spark.read.format("delta").load("s3a://warehouse/numbers").groupBy("digit").count().collect()
print(json.dumps(sorted([row.digit, row["count"]] for row in rows)))
"""


@dataclass(frozen=True)
class Cluster:
    """A running cluster, and MinIO."""

    settings: Settings
    platform: Platform
    folder: Path

    def start(self, program: str, changes: Mapping[str, str | None] | None = None) -> "subprocess.Popen[str]":
        """Starts a program as a driver; ``changes`` replace options, and None removes one."""
        access_key, secret_key = bucket.credentials(self.settings, "lakehouse")
        options: dict[str, str | None] = {
            "spark.master": self.settings.spark_master,
            "spark.authenticate": "true",
            "spark.authenticate.secret": self.settings.secret("spark_secret"),
            "spark.driver.host": "127.0.0.1",
            "spark.driver.memory": "512m",
            "spark.executor.memory": self.settings.spark_worker_memory,
            # Tasks begin when both workers have an executor.
            "spark.scheduler.minRegisteredResourcesRatio": "1",
            "spark.ui.enabled": "false",
            # By default Spark plans for a large cluster.
            "spark.sql.shuffle.partitions": "2",
            "spark.databricks.delta.snapshotPartitions": "2",
            "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
            "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
            "spark.hadoop.fs.s3a.endpoint": self.settings.lake_endpoint,
            "spark.hadoop.fs.s3a.endpoint.region": self.settings.s3_region,
            "spark.hadoop.fs.s3a.path.style.access": "true",
            "spark.hadoop.fs.s3a.access.key": access_key,
            "spark.hadoop.fs.s3a.secret.key": secret_key,
            **(changes or {}),
        }
        # In a file: a driver's options would be on its command line.
        file = self.folder / "spark-defaults.conf"
        file.touch(mode=0o600)
        file.write_text("".join(f"{name} {value}\n" for name, value in options.items() if value is not None))
        environment = {
            "PATH": os.environ["PATH"],
            "JAVA_HOME": str(SPARK_JAVA_HOME),
            "SPARK_CONF_DIR": str(self.folder),
            "SPARK_DIST_CLASSPATH": f"{SPARK_JARS}/*",
            "SPARK_LOCAL_IP": "127.0.0.1",
            "PYSPARK_PYTHON": str(SPARK_PYTHON),
        }
        return subprocess.Popen(
            [str(SPARK_PYTHON), "-c", START + program],
            env=environment,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, program: str) -> list[list[object]]:
        """Runs a program to its end, and returns what it printed last."""
        with self.start(program) as process:
            output, _ = process.communicate(timeout=240)
        assert process.returncode == 0, output
        result: list[list[object]] = json.loads(output.splitlines()[-1])
        return result


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    file = new_environment_file(tmp_path_factory.mktemp("spark"))
    settings = Settings(_env_file=file, spark_worker_memory="512m")  # type: ignore[call-arg]
    with file.open("a") as added:
        added.write("SLUICE_SPARK_WORKER_MEMORY=512m\n")
    platform = Platform(settings, file)
    try:
        platform.start(["minio", *NAMES])
        bucket.provision(settings)
        bucket.provision_lakehouse(settings)
        yield Cluster(settings, platform, tmp_path_factory.mktemp("driver"))
    finally:
        platform.stop()


def test_a_program_runs_on_both_workers_with_sparks_python_and_the_project(cluster: Cluster) -> None:
    found = cluster.run(WHERE)
    assert sum(int(str(row[-1])) for row in found) == sum(range(1000))
    assert {row[2] for row in found} == {"spark-worker-1", "spark-worker-2"}
    assert {row[0] for row in found} == {str(SPARK_PYTHON)}
    assert {row[3] for row in found} == {cluster.settings.lake_bucket}


def test_a_program_writes_a_delta_table_that_other_programs_read(cluster: Cluster) -> None:
    assert cluster.run(TABLE) == [[digit, 100] for digit in range(10)]
    access_key, secret_key = bucket.credentials(cluster.settings, "lakehouse")
    options = {"endpoint": cluster.settings.lake_endpoint, "allow_http": "true", "region": cluster.settings.s3_region}
    keys = {"access_key_id": access_key, "secret_access_key": secret_key}
    assert DeltaTable("s3://warehouse/numbers", storage_options=options | keys).to_pyarrow_table().num_rows == 1000


@pytest.mark.parametrize(
    "changes",
    [{"spark.authenticate": None, "spark.authenticate.secret": None}, {"spark.authenticate.secret": "wrong"}],
    ids=["without the secret", "with another secret"],
)
def test_a_program_is_refused(cluster: Cluster, changes: dict[str, str | None]) -> None:
    def applications() -> int:
        page = probes.http_json("127.0.0.1", cluster.settings.spark_ui_port, "/json/")
        return len(page["activeapps"]) + len(page["completedapps"])

    log = cluster.settings.home / "logs" / "spark-master.log"
    before, length = applications(), len(log.read_text())
    with cluster.start(WHERE, changes) as process:
        assert process.stdout
        # It would try again for a minute.
        failed = any("Failed to connect to master" in line for line in process.stdout)
        process.kill()
    assert failed
    assert "Sasl" in log.read_text()[length:]
    assert applications() == before


def test_no_command_line_and_no_log_has_a_secret_and_all_ports_are_on_loopback(cluster: Cluster) -> None:
    driver = cluster.start("import time; spark.range(10).count(); print('ready', flush=True); time.sleep(60)")
    try:
        assert driver.stdout
        assert any(line == "ready\n" for line in driver.stdout)
        running = [process for process, name in processes.owned(cluster.settings.home) if name in NAMES]
        # The master, and each worker with its executor.
        assert len(running) >= 5
        running += [psutil.Process(driver.pid), *psutil.Process(driver.pid).children(recursive=True)]
        # A shell that has become Java never waits for its own children.
        running = [process for process in running if process.status() != psutil.STATUS_ZOMBIE]
        secrets = [cluster.settings.secret(name) for name in ("spark_secret", "lakehouse_password")]
        for process in running:
            assert not [secret for secret in secrets if secret in " ".join(process.cmdline())]
            listening = [connection for connection in process.net_connections("inet") if connection.status == "LISTEN"]
            assert {connection.laddr[0] for connection in listening} <= {"127.0.0.1", "::ffff:127.0.0.1"}
        for file in [*(cluster.settings.home / "logs").iterdir(), *(cluster.settings.home / "spark").rglob("std*")]:
            text = file.read_text(errors="replace")
            assert not [secret for secret in secrets if secret in text], file
    finally:
        driver.kill()
        driver.communicate()


def test_a_worker_that_dies_is_restarted_and_registered_again(cluster: Cluster) -> None:
    def status() -> dict[str, tuple[str, int]]:
        return {service.name: (service.state, service.pid) for service in cluster.platform.status()}

    _, pid = status()["spark-worker-1"]
    os.kill(pid, signal.SIGKILL)
    wait("another worker", lambda: (now := status()["spark-worker-1"])[0] == "healthy" and now[1] != pid)
    assert status()["spark-master"][0] == "healthy"
    assert {row[2] for row in cluster.run(WHERE)} == {"spark-worker-1", "spark-worker-2"}
