"""The load on a real cluster, of a small lake: each offset once, whatever its contract and the load go through."""

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from bench.load.lake import TOPIC_ID, fill_lake
from infra.servers.spark import SPARK
from infra.supervision.platform import Platform
from sluice.contracts import Contract, load_contracts
from sluice.lake import bucket
from sluice.lake.layout import storage_options, table_uri
from sluice.lake.ranges import Range
from sluice.lakehouse.layout import QUARANTINE, open_table, raw_table
from sluice.lakehouse.ledger import Batch, plan, read_ledger
from sluice.lakehouse.reconciliation import LakehouseReconciliation, reconcile
from sluice.settings import ROOT, Settings
from sluice.settings.spark import SPARK_JAVA_HOME, SPARK_PYTHON
from tests.fixtures.servers import new_environment_file

pytestmark = pytest.mark.timeout(1800)

STREAM, TABLE = "sensors.readings", "sensors_readings"
CONTRACT = """\
stream: sensors.readings
description: What a sensor reads.
owner: tests
topic: {partitions: 2, retention_bytes: 1048576}
event_time: at
lateness: 1h
load: {schedule: "* * * * *"}
columns:
  - {name: event_id, type: string, nullable: false, description: The id.}
  - {name: at, type: timestamp, nullable: false, description: The time.}
  - {name: value, type: TYPE, description: The value.}
"""
START = int(datetime(2013, 1, 1, tzinfo=UTC).timestamp() * 1000)


@dataclass
class Lake:
    """A cluster, and a lake with one stream in two partitions."""

    settings: Settings
    file: Path
    next_offsets: dict[int, int]

    def contract(self, value: str) -> Contract:
        """Writes the stream's contract, with a type for the value."""
        (self.settings.contracts / f"{STREAM}.yaml").write_text(CONTRACT.replace("TYPE", value))
        return load_contracts(self.settings.contracts)[STREAM]

    def send(self, *values: Any) -> None:
        """Commits an event per value, an hour apart; bytes are sent as they are."""
        records = []
        for value in values:
            number = sum(self.next_offsets.values()) + len(records)
            time = START + number * 3_600_000
            moment = datetime.fromtimestamp(time / 1000, UTC).isoformat()
            event = json.dumps({"event_id": str(number), "at": moment, "value": value}) if value != b"" else ""
            records.append((b"", event.encode(), time))
        fill_lake(self.settings, STREAM, 2, records, next_offsets=self.next_offsets)

    def load(self) -> str:
        """Runs the load; returns its last line."""
        done = subprocess.run(
            [SPARK_PYTHON, "-m", "sluice.lakehouse", "load"],
            env=os.environ | {"SLUICE_ENV_FILE": str(self.file), "JAVA_HOME": str(SPARK_JAVA_HOME)},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-4000:] + done.stdout[-1000:]
        return done.stdout.splitlines()[-1].partition(" (")[0]

    def reconcile(self) -> LakehouseReconciliation:
        """Compares lake and warehouse."""
        return reconcile(self.settings, [STREAM], lambda _: None)

    def rows(self) -> pa.Table:
        """Returns the raw rows by offset."""
        table = open_table(self.settings, raw_table(TABLE))
        assert table
        return table.to_pyarrow_table().sort_by([("_partition", "ascending"), ("_offset", "ascending")])


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Settings, Path]]:
    folder = tmp_path_factory.mktemp("load")
    (folder / "contracts").mkdir()
    file = new_environment_file(folder)
    with file.open("a") as added:
        added.write(f"SLUICE_SPARK_WORKER_MEMORY=512m\nSLUICE_CONTRACTS={folder / 'contracts'}\n")
    settings = Settings(_env_file=file)  # type: ignore[call-arg]
    platform = Platform(settings, file)
    try:
        platform.start(["minio", *(service.name for service in SPARK)])
        bucket.provision(settings)
        bucket.provision_lakehouse(settings)
        yield settings, file
    finally:
        platform.stop()


@pytest.fixture
def lake(servers: tuple[Settings, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Lake]:
    settings, file = servers
    monkeypatch.setenv("SLUICE_ENV_FILE", str(file))
    yield Lake(settings, file, {0: 0, 1: 0})
    client = bucket.client(settings, "root")
    for name in (settings.lake_bucket, settings.warehouse_bucket):
        for stored in list(client.list_objects(bucket_name=name, recursive=True)):
            client.remove_object(bucket_name=name, object_name=str(stored.object_name))
    (settings.contracts / f"{STREAM}.yaml").unlink()


def test_batches_without_a_valid_row_and_new_types_lose_nothing(lake: Lake) -> None:
    lake.contract("int32")
    assert lake.load() == "> sensors.readings: 0 rows loaded, 0 quarantined"
    # Nothing of the first batch is valid.
    lake.send(b"", "x", b"")
    assert lake.load() == "> sensors.readings: 0 rows loaded, 3 quarantined"
    lake.send(1, 2, "y", 2**40)
    assert lake.load() == "> sensors.readings: 2 rows loaded, 2 quarantined"
    assert lake.load() == "> sensors.readings: 0 rows loaded, 0 quarantined"

    # With a wider type, what was invalid for its size is a row now.
    lake.contract("int64")
    lake.send(3)
    assert lake.load() == "> sensors.readings: 4 rows loaded, 4 quarantined"
    assert lake.rows()["value"].to_pylist() == [1, 2, 2**40, 3]
    lake.contract("string")
    assert lake.load() == "> sensors.readings: 2 rows loaded, 6 quarantined"
    quarantine = open_table(lake.settings, QUARANTINE)
    assert quarantine
    assert quarantine.to_pyarrow_table().num_rows == 6
    lake.reconcile().require_agreement()


def test_a_batch_that_was_planned_and_not_written_is_repeated(lake: Lake) -> None:
    contract = lake.contract("int32")
    lake.send(*range(100))
    ranges = [Range(TOPIC_ID, 0, 0, 30), Range(TOPIC_ID, 1, 0, 20)]
    plan(lake.settings, contract, Batch(1, ranges))
    # The planned offsets, and then the others as a batch of their own.
    assert lake.load() == "> sensors.readings: 100 rows loaded, 0 quarantined"
    ledger = read_ledger(lake.settings, contract)
    assert (ledger.last, ledger.unfinished) == (2, None)
    lake.reconcile().require_agreement()


def test_spark_finds_what_is_wrong_with_the_lake_itself(lake: Lake) -> None:
    lake.contract("int32")
    lake.send(*range(100))
    lake.load()
    lake.reconcile().require_agreement()
    table = DeltaTable(table_uri(lake.settings, STREAM), storage_options=storage_options(lake.settings, "writer"))
    rows = table.to_pyarrow_table(filters=[("partition", "=", 1), ("offset", "in", [4, 5, 6])])
    write_deltalake(table, rows, mode="append")
    table.delete("partition = 0 and offset = 7")
    assert [fault for counts in lake.reconcile().partitions for fault in counts.faults()] == [
        "sensors.readings/0: 1 offsets are missing from the lake",
        "sensors.readings/0: 1 offsets are in Spark's warehouse and not in the lake, the first is 7",
        "sensors.readings/1: 3 rows of the lake are duplicated",
    ]
