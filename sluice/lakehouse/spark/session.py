"""A Spark session on the cluster, with Delta tables in the store."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

from pyspark.sql import Column, SparkSession
from pyspark.sql import functions as f

from sluice.errors import TransientError
from sluice.lake.bucket import credentials
from sluice.lakehouse.layout import OWNER
from sluice.settings import Settings
from sluice.settings.spark import SPARK_JARS, SPARK_PYTHON

_LOGGING = """
rootLogger.level = error
rootLogger.appenderRef.stderr.ref = stderr
appender.stderr.type = Console
appender.stderr.name = stderr
appender.stderr.target = SYSTEM_ERR
appender.stderr.layout.type = PatternLayout
appender.stderr.layout.pattern = %p %c{1}: %m%n
"""
_ONE_CORE = "-XX:+UseSerialGC"
"""Options of Java for processes that share few cores."""


@contextmanager
def session(settings: Settings, name: str) -> Iterator[SparkSession]:
    """Yields a session, and stops it at the end.

    Args:
        settings: with the cluster's address and secret, and the store's user ``lakehouse``.
        name: of the application, as Spark's pages show it.

    Raises:
        TransientError: the cluster is down.
    """
    _require_cluster(settings)
    folder = settings.home / "spark" / "driver"
    _write_configuration(settings, folder)
    os.environ["SPARK_CONF_DIR"] = str(folder)
    # The same on every machine of the cluster.
    os.environ["PYSPARK_PYTHON"] = str(SPARK_PYTHON)
    os.environ["SPARK_LOCAL_IP"] = settings.spark_host
    spark = SparkSession.builder.appName(name).getOrCreate()
    try:
        yield spark
    finally:
        spark.stop()


def date_literal(day: date) -> Column:
    """Returns a date as a constant. PySpark's own conversion fails for years below 1000."""
    return f.lit(day.isoformat()).cast("date")


def _require_cluster(settings: Settings) -> None:
    """Raises at once what Spark's driver would find after a minute of attempts."""
    try:
        socket.create_connection((settings.spark_host, settings.spark_port), timeout=3).close()
    except OSError as error:
        raise TransientError(
            f"Spark's master at {settings.spark_master} is down: {error.strerror or error}",
            "run `make up ENGINE=spark`",
        ) from error


def configuration(settings: Settings) -> dict[str, str]:
    """Returns Spark's configuration of a driver, which its executors receive too."""
    access_key, secret_key = credentials(settings, OWNER)
    scratch = str(settings.home / "spark" / "scratch")
    return {
        "spark.master": settings.spark_master,
        "spark.driver.host": settings.spark_host,
        "spark.driver.bindAddress": settings.spark_host,
        "spark.authenticate": "true",
        "spark.authenticate.secret": settings.secret("spark_secret"),
        "spark.network.crypto.enabled": "true",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.local.dir": scratch,
        "spark.driver.memory": "1g",
        # The driver of a short program would spend half of its CPU time on compiling what it runs once.
        "spark.driver.extraJavaOptions": f"{_ONE_CORE} -XX:TieredStopAtLevel=1",
        "spark.executor.extraJavaOptions": _ONE_CORE,
        "spark.executor.memory": settings.spark_worker_memory,
        "spark.driver.extraClassPath": f"{SPARK_JARS}/*",
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.sql.catalogImplementation": "in-memory",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "8",
        # Delta would compute the state of each table in 50 tasks.
        "spark.databricks.delta.snapshotPartitions": "2",
        "spark.sql.execution.arrow.maxRecordsPerBatch": "32768",
        "spark.hadoop.fs.s3a.endpoint": settings.lake_endpoint,
        "spark.hadoop.fs.s3a.endpoint.region": settings.s3_region or "us-east-1",
        "spark.hadoop.fs.s3a.path.style.access": "true",
        "spark.hadoop.fs.s3a.connection.ssl.enabled": str(settings.lake_endpoint.startswith("https:")).lower(),
        "spark.hadoop.fs.s3a.access.key": access_key,
        "spark.hadoop.fs.s3a.secret.key": secret_key,
        "spark.hadoop.fs.s3a.aws.credentials.provider": "org.apache.hadoop.fs.s3a.SimpleAWSCredentialsProvider",
    }


def _write_configuration(settings: Settings, folder: Path) -> None:
    """Writes the configuration, which has secrets, for this user alone: on a command line, others would see them."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (settings.home / "spark" / "scratch").mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / "log4j2.properties").write_text(_LOGGING)
    file = os.open(folder / "spark-defaults.conf", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(file, "w") as defaults:
        defaults.writelines(f"{key} {value}\n" for key, value in configuration(settings).items())
