"""The warehouse rebuilt from the lake alone: marts, audit log and replayed records are unchanged."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from secrets import token_hex

import pytest

from sluice.backfill.rebuild_warehouse import rebuild
from sluice.contracts import Contract, load_contracts, topic_names
from sluice.kafka import topics
from sluice.lake.layout import transaction_id
from sluice.lake.reader import LakeReader
from sluice.load import load
from sluice.quarantine.records import Selection, discard
from sluice.quarantine.replay import replay
from sluice.reconcile import reconcile
from sluice.settings import ROOT, Settings
from sluice.sink.status import status
from sluice.transform import transform
from sluice.transform.dbt import Dbt
from sluice.warehouse import connect, schema
from tests.fixtures.servers import Stream
from tests.fixtures.waiting import wait

RANGE = ("--from", "2013-01-01", "--to", "2013-01-02")


def query(settings: Settings, text: str) -> list[tuple[object, ...]]:
    with connect(settings, "reader") as reader:
        return reader.execute(text.encode()).fetchall()


@pytest.fixture
def environment(servers: Settings, environment_file: Path, tmp_path: Path) -> dict[str, str]:
    """The environment of processes: a warehouse of the test's own, and copies of the contracts, which it edits."""
    shutil.copytree(servers.contracts, tmp_path / "contracts", ignore=shutil.ignore_patterns("examples"))
    return {
        **os.environ,
        "SLUICE_ENV_FILE": str(environment_file),
        "SLUICE_CONTRACTS": str(tmp_path / "contracts"),
        "SLUICE_WAREHOUSE": f"rebuild_{token_hex(4)}",
        "SLUICE_SINK_AGE_SECONDS": "1",
        "SLUICE_SINK_PORT": "0",
    }


@pytest.fixture
def settings(servers: Settings, environment: dict[str, str]) -> Iterator[Settings]:
    """Two days of events with faults in the lake, loaded, with a contract that was loosened afterwards."""
    settings = servers.model_copy(
        update={
            "contracts": Path(environment["SLUICE_CONTRACTS"]),
            "warehouse": environment["SLUICE_WAREHOUSE"],
        }
    )
    contracts = load_contracts(settings.contracts)
    topics.provision(settings, contracts)
    schema.provision(settings, contracts)
    faults = ("--invalid", "0.2", "--corrupt", "0.02", "--duplicates", "0.05", "--late", "0.05:24", "--seed", "3")
    subprocess.run(
        [sys.executable, "-m", "producers", "replay", *RANGE, *faults], env=environment, cwd=ROOT, check=True
    )
    sink = subprocess.Popen(Stream.SINK, env=environment, cwd=ROOT)
    try:
        wait(
            "everything in the lake",
            lambda: (
                not any(part.lag for stream in status(settings, topic_names(contracts)) for part in stream.partitions)
            ),
            alive=sink,
        )
    finally:
        sink.terminate()
        sink.wait()
    load_all(settings, contracts)
    path = settings.contracts / "flights.departed.yaml"
    text = path.read_text()
    assert "  - name: distance_miles\n    type: int32\n    nullable: false\n" in text
    path.write_text(
        text.replace("distance_miles\n    type: int32\n    nullable: false\n", "distance_miles\n    type: int32\n")
    )
    contracts = load_contracts(settings.contracts)
    schema.provision(settings, contracts)
    yield settings


def load_all(settings: Settings, contracts: dict[str, Contract]) -> None:
    for contract in contracts.values():
        load(settings, contract)


def build(settings: Settings, contracts: dict[str, Contract]) -> None:
    transform(settings, contracts, dbt=Dbt(settings, print), run="test", log_line=print)


def test_the_lake_alone_is_enough(settings: Settings, environment: dict[str, str]) -> None:
    contracts = load_contracts(settings.contracts)
    departed = Selection("flights.departed")
    moved = sum(result.moved for result in replay(settings, contracts, departed, "tester"))
    assert moved > 0
    assert discard(settings, Selection(reason="not JSON"), "noise", "tester") > 0
    build(settings, contracts)
    log_query = "select * from ops.quarantine_log order by seq"
    log = query(settings, log_query)
    # With full reasons: the replay has updated them.
    quarantine_query = (
        'select topic_id, partition, "offset", reason, discarded, note from ops.quarantine order by 1, 2, 3'
    )
    quarantine = query(settings, quarantine_query)
    dates_query = (
        "select stream, event_date, rows, quarantined from ops.dates where rows + quarantined > 0 order by 1, 2"
    )
    dates = query(settings, dates_query)

    # Killed when the warehouse is empty.
    command = [sys.executable, "-u", "-m", "cli", "rebuild-warehouse", "--force"]
    first = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    for line in first.stdout:
        if line == "the warehouse is empty\n":
            break
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert not query(settings, "select tablename from pg_tables where schemaname in ('staging', 'marts')")

    # Continued while other loads are running; what was loaded before the kill is kept.
    load(settings, contracts["weather.observed"])
    loaded_at = "select min(_loaded_at) from raw.weather_observed"
    kept = query(settings, loaded_at)
    with ThreadPoolExecutor(3) as pool:
        others = [pool.submit(load_all, settings, contracts) for _ in range(2)]
        result = rebuild(settings, contracts, dbt=Dbt(settings, print), log_line=print)
        for future in others:
            future.result()

    print(result.text())
    assert query(settings, loaded_at) == kept
    assert result.comparable
    assert result.same
    assert len(result.tables) > 5
    assert all(table.rows for table in result.tables)
    assert query(settings, log_query) == log
    assert query(settings, quarantine_query) == quarantine
    assert query(settings, dates_query) == dates
    reconciliation = reconcile(settings, contracts, full=True)
    assert reconciliation.agrees, reconciliation.text()
    assert not reconciliation.pending_dates


def test_nothing_is_emptied_if_the_lake_is_behind_the_warehouse(
    settings: Settings, environment: dict[str, str]
) -> None:
    contract = load_contracts(settings.contracts)["weather.observed"]
    lake = LakeReader(settings, contract.stream)
    (topic_id, partition), next_offset = next(iter(lake.next_offsets().items()))
    assert lake.transaction(transaction_id(topic_id, partition)) == next_offset
    with connect(settings, "loader") as loader:
        loader.execute(
            "insert into ops.loads (stream, topic_id, partition, start_offset, next_offset, rows, quarantined)"
            " values (%s, %s, %s, %s, %s, 0, 0)",
            (contract.stream, topic_id, partition, next_offset, next_offset + 1),
        )
    try:
        before = query(settings, "select count(*) from raw.weather_observed")
        command = [sys.executable, "-m", "cli", "rebuild-warehouse"]
        unconfirmed = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
        assert unconfirmed.returncode == 1
        assert "FORCE=1" in unconfirmed.stderr
        done = subprocess.run(
            [*command, "--force"], env=environment, cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert f"the lake has offsets up to {next_offset}, the warehouse up to {next_offset + 1}" in done.stderr
        assert query(settings, "select count(*) from raw.weather_observed") == before
    finally:
        with connect(settings, "postgres") as postgres:
            postgres.execute(
                "delete from ops.loads where topic_id = %s and next_offset = %s", (topic_id, next_offset + 1)
            )
