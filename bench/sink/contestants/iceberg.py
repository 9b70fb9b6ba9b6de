"""Kafka Connect with Iceberg's sink: records as rows of a table, exactly once, a commit every ten seconds.

The worker's settings are those that Kafka's and Iceberg's documentation name for throughput: a task per partition, and
large fetches and polls.
"""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from kafka import KafkaAdminClient
from kafka.admin import NewTopic
from kafka.errors import TopicAlreadyExistsError

from bench.servers import KAFKA_TOOLS
from bench.sink.contestants.spec import Spec, read_spec
from infra.servers import kafka, toolchains

TABLE = "bench.departed"
CATALOG = "catalog.db"
"""The file of Iceberg's catalog, in the contestant's folder."""
STARTED = "Sink task finished initialization and start"
"""A line of Kafka Connect's log, which ends the start-up."""

_LOG = """\
status = warn
appender.console.type = Console
appender.console.name = console
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
logger.task.name = org.apache.kafka.connect.runtime.WorkerSinkTask
logger.task.level = info
"""
_WORKER = """\
bootstrap.servers={kafka}
listeners=http://127.0.0.1:{port}
offset.storage.file.filename={state}/offsets
offset.flush.interval.ms=10000
key.converter=org.apache.kafka.connect.storage.StringConverter
value.converter=org.apache.kafka.connect.storage.StringConverter
plugin.discovery=only_scan
consumer.session.timeout.ms=6000
consumer.max.poll.records=20000
consumer.fetch.min.bytes=1048576
consumer.max.partition.fetch.bytes=8388608
"""
# A record's value is a column, as text, beside its partition, offset and timestamp.
_CONNECTOR = """\
name={group}
connector.class=org.apache.iceberg.connect.IcebergSinkConnector
tasks.max=4
topics={topic}
transforms=value,position
transforms.value.type=org.apache.kafka.connect.transforms.HoistField$Value
transforms.value.field=value
transforms.position.type=org.apache.kafka.connect.transforms.InsertField$Value
transforms.position.partition.field=partition
transforms.position.offset.field=offset
transforms.position.timestamp.field=timestamp
iceberg.tables={table}
iceberg.tables.auto-create-enabled=true
iceberg.control.topic={group}-control
iceberg.control.commit.interval-ms=10000
iceberg.kafka.bootstrap.servers={kafka}
iceberg.catalog.catalog-impl=org.apache.iceberg.jdbc.JdbcCatalog
iceberg.catalog.uri=jdbc:sqlite:{state}/{catalog}?busy_timeout=60000
iceberg.catalog.warehouse=s3://{bucket}/{prefix}
iceberg.catalog.io-impl=org.apache.iceberg.aws.s3.S3FileIO
iceberg.catalog.client.region=us-east-1
iceberg.catalog.s3.endpoint=http://{minio}
iceberg.catalog.s3.path-style-access=true
iceberg.catalog.s3.access-key-id={user}
iceberg.catalog.s3.secret-access-key={password}
"""
# As Iceberg creates them: its tasks start at the same time, and would get in each other's way.
_CATALOG_TABLES = """
pragma journal_mode = wal;
create table if not exists iceberg_tables (
    catalog_name varchar(255) not null, table_namespace varchar(255) not null, table_name varchar(255) not null,
    metadata_location varchar(1000), previous_metadata_location varchar(1000), iceberg_type varchar(5),
    primary key (catalog_name, table_namespace, table_name)
);
create table if not exists iceberg_namespace_properties (
    catalog_name varchar(255) not null, namespace varchar(255) not null,
    property_key varchar(255), property_value varchar(1000),
    primary key (catalog_name, namespace, property_key)
);
"""


def main() -> None:
    """Creates the control topic and the catalog, writes the properties, and becomes Kafka Connect."""
    spec = read_spec()
    state = Path(spec.state)
    _create_topic(spec, f"{spec.group}-control")
    with closing(sqlite3.connect(state / CATALOG)) as catalog:
        catalog.executescript(_CATALOG_TABLES)
    log, worker, connector = (state / f"{name}.properties" for name in ("log", "worker", "connector"))
    log.write_text(_LOG)
    worker.write_text(_WORKER.format_map(vars(spec)))
    connector.write_text(_CONNECTOR.format_map({**vars(spec), "table": TABLE, "catalog": CATALOG}))
    java = toolchains.java()
    classes = f"{KAFKA_TOOLS}/*:{kafka.JARS}/*"
    options = ["-Xmx2g", f"-Dlog4j2.configurationFile={log}", "-cp", classes]
    os.execv(java, [java, *options, "org.apache.kafka.connect.cli.ConnectStandalone", str(worker), str(connector)])  # noqa: S606 - the process that is measured, and killed, is Java


def _create_topic(spec: Spec, name: str) -> None:
    admin = KafkaAdminClient(bootstrap_servers=spec.kafka)
    try:
        admin.create_topics([NewTopic(name=name, num_partitions=1, replication_factor=1)])
    except TopicAlreadyExistsError:
        pass
    finally:
        admin.close()


if __name__ == "__main__":
    main()
