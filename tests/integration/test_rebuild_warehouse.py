"""The warehouse made again from the lake alone: marts, decisions and replayed records are what they were."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sluice.backfill.rebuild_warehouse import rebuild
from sluice.contracts import Contract, load_contracts
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
from tests.servers import Stream
from tests.waiting import wait

RANGE = ("--from", "2013-01-01", "--to", "2013-01-02")


def query(settings: Settings, text: str) -> list[tuple[object, ...]]:
    with connect(settings, "reader") as reader:
        return reader.execute(text.encode()).fetchall()


@pytest.fixture
def environment(servers: Settings, environment_file: Path, tmp_path: Path) -> dict[str, str]:
    """Of processes; the contracts are copies, which the test changes."""
    shutil.copytree(servers.contracts, tmp_path / "contracts", ignore=shutil.ignore_patterns("examples"))
    return {
        **os.environ,
        "SLUICE_ENV_FILE": str(environment_file),
        "SLUICE_CONTRACTS": str(tmp_path / "contracts"),
        "SLUICE_SINK_AGE_SECONDS": "1",
        "SLUICE_SINK_PORT": "0",
    }


@pytest.fixture
def settings(servers: Settings, environment: dict[str, str]) -> Iterator[Settings]:
    """Two days of disturbed events in the lake, loaded and in the marts; some were replayed, some discarded."""
    settings = servers.model_copy(update={"contracts": Path(environment["SLUICE_CONTRACTS"])})
    contracts = load_contracts(settings.contracts)
    topics.provision(settings, contracts)
    schema.provision(settings, contracts)
    disturbed = ("--invalid", "0.2", "--corrupt", "0.02", "--duplicates", "0.05", "--late", "0.05:24", "--seed", "3")
    subprocess.run(
        [sys.executable, "-m", "producers", "replay", *RANGE, *disturbed], env=environment, cwd=ROOT, check=True
    )
    sink = subprocess.Popen(Stream.SINK, env=environment, cwd=ROOT)
    try:
        wait(
            "everything in the lake",
            lambda: not any(part.lag for each in status(settings, list(contracts)) for part in each.partitions),
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
    transform(settings, contracts, dbt=Dbt(settings, print), run="test", say=print)


def test_what_the_lake_holds_is_enough(settings: Settings, environment: dict[str, str]) -> None:
    contracts = load_contracts(settings.contracts)
    departed = Selection("flights.departed")
    moved = sum(each.moved for each in replay(settings, contracts, departed, "tester"))
    assert moved > 0
    put_aside = discard(settings, Selection(reason="not JSON"), "noise", "tester")
    assert put_aside > 0
    build(settings, contracts)
    decided = "select * from ops.quarantine_log order by seq"
    log = query(settings, decided)
    # Each reason's own, since a replay states those that hold now.
    aside = 'select topic_id, partition, "offset", reason, discarded, note from ops.quarantine order by 1, 2, 3'
    quarantine = query(settings, aside)
    dates = "select stream, event_date, rows, quarantined from ops.dates where rows + quarantined > 0 order by 1, 2"
    known = query(settings, dates)

    # Killed when everything is gone.
    command = [sys.executable, "-u", "-m", "cli", "rebuild-warehouse", "--force"]
    first = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    for line in first.stdout:
        if line == "the warehouse is empty\n":
            break
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert not query(settings, "select tablename from pg_tables where schemaname in ('staging', 'marts')")

    # Begun again, while loads of others go on.
    with ThreadPoolExecutor(3) as pool:
        others = [pool.submit(load_all, settings, contracts) for _ in range(2)]
        found = rebuild(settings, contracts, dbt=Dbt(settings, print), say=print)
        for each in others:
            each.result()

    print(found.text())
    assert found.comparable
    assert found.same
    assert len(found.tables) > 5
    assert all(table.rows for table in found.tables)
    assert query(settings, decided) == log
    assert query(settings, aside) == quarantine
    assert query(settings, dates) == known
    compared = reconcile(settings, contracts, patience=0)
    assert compared.agrees, compared.text()
    assert not compared.unbuilt


def test_a_lake_that_is_behind_the_warehouse_empties_nothing(settings: Settings, environment: dict[str, str]) -> None:
    contract = load_contracts(settings.contracts)["weather.observed"]
    (topic_id, partition), head = next(iter(LakeReader(settings, contract.stream).next_offsets([], contract).items()))
    assert LakeReader(settings, contract.stream).transaction(transaction_id(topic_id, partition)) == head
    with connect(settings, "loader") as loader:
        loader.execute(
            "insert into ops.loads (stream, topic_id, partition, first_offset, next_offset, rows, quarantined)"
            " values (%s, %s, %s, %s, %s, 0, 0)",
            (contract.stream, topic_id, partition, head, head + 1),
        )
    try:
        before = query(settings, "select count(*) from raw.weather_observed")
        command = [sys.executable, "-m", "cli", "rebuild-warehouse"]
        asked = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
        assert asked.returncode == 1
        assert "FORCE=1" in asked.stderr
        done = subprocess.run(
            [*command, "--force"], env=environment, cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert f"the lake has offsets up to {head}, the warehouse up to {head + 1}" in done.stderr
        assert query(settings, "select count(*) from raw.weather_observed") == before
    finally:
        with connect(settings, "loader") as loader:
            loader.execute("delete from ops.loads where topic_id = %s and next_offset = %s", (topic_id, head + 1))
