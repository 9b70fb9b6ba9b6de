"""Two loads of each stream, reloads of dates and transforms at once, while events come in: as if one after another."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pandas as pd
import psycopg
import pyarrow.compute as pc
import pytest
from psycopg import sql

from sluice.backfill.rebuild_warehouse import rebuild
from sluice.contracts import load_contracts
from sluice.kafka import topics
from sluice.lake.reader import LakeReader
from sluice.load import load
from sluice.reconcile import reconcile
from sluice.settings import ROOT, Settings
from sluice.transform import transform
from sluice.transform.dbt import Dbt
from sluice.warehouse import checksum, connect, schema
from tests.e2e import truth
from tests.servers import Stream
from tests.waiting import wait

FIRST, LAST = "2013-01-01", "2013-01-02"
DAYS = ["2013-01-01", "2013-01-02"]
"""UTC, and few, so that two reloads often want the same date."""
DISTURBED = ("--late=0.1:24", "--duplicates=0.05", "--corrupt=0.01", "--invalid=0.05", "--seed=11")
SPEED = 9_000
"""Seconds of event time per second: the replay takes about 25."""
WORK = {
    "a load": ("load",),
    "another load": ("load",),
    "reloads": ("reload", *DAYS),
    "other reloads": ("reload", *DAYS),
    "transforms": ("transform",),
}


@pytest.fixture
def streams(servers: Settings, environment_file: Path, tmp_path: Path) -> Iterator[list[Stream]]:
    """The real streams, in a warehouse of the test's own."""
    settings = servers.model_copy(update={"warehouse": "at_once", "home": tmp_path, "contracts": ROOT / "contracts"})
    contracts = load_contracts(settings.contracts)
    topics.provision(settings, contracts)
    schema.provision(settings, contracts)
    made = [Stream(settings, contract, environment_file) for contract in contracts.values()]
    for each in made:
        each.environment |= {"SLUICE_WAREHOUSE": settings.warehouse, "SLUICE_HOME": str(settings.home)}
    yield made
    for each in made:
        each.close()


def test_all_at_once(streams: list[Stream], say: Callable[[str], None]) -> None:
    settings, environment = streams[0].settings, streams[0].environment
    contracts = {stream.name: stream.contract for stream in streams}
    sink = streams[0].start_sink()
    wait("the sink's tables", lambda: all(stream.next_offsets() for stream in streams))
    replay = [sys.executable, "-m", "producers", "replay", f"--from={FIRST}", f"--to={LAST}", f"--speed={SPEED}"]
    work = {name: _start(environment, *arguments) for name, arguments in WORK.items()}
    looks = 0
    try:
        with subprocess.Popen([*replay, *DISTURBED], env=environment, cwd=ROOT) as coming:
            while coming.poll() is None:
                _as_the_ledger_says(streams)
                looks += 1
                time.sleep(0.1)
        assert coming.returncode == 0
        for stream in streams:
            stream.wait_for_lake()
        done = {name: json.loads(_end(name, process)) for name, process in work.items()}
    finally:
        for process in work.values():
            process.kill()
            process.wait()
    streams[0].stop_sink(sink)
    last = [load(settings, contract) for contract in contracts.values()]
    transform(settings, contracts, dbt=Dbt(settings, print), run="the last", say=print)

    records = sum(_once_each(stream) for stream in streams)
    # Whatever one of the loads brought, the other one did not.
    loaded = [done["a load"]["rows"], done["another load"]["rows"], sum(each.rows + each.quarantined for each in last)]
    assert sum(loaded) == records
    assert min(done[name]["rounds"] for name in ("a load", "another load", "reloads", "other reloads")) > 1
    assert min(done[name]["dates"] for name in ("reloads", "other reloads", "transforms")) > 0
    found = reconcile(settings, contracts, patience=0)
    assert found.agrees, found.text()
    assert not found.unbuilt
    truth.marts_are_true(lambda statement: _frame(settings, statement), FIRST, LAST)
    before = _raw(streams)
    again = rebuild(settings, contracts, dbt=Dbt(settings, print), say=print)
    assert again.comparable
    assert again.same, again.text()
    assert _raw(streams) == before
    rounds = ", ".join(f"{name} {each['rounds']} times" for name, each in done.items())
    say(f"{records:,} records loaded once each ({loaded[0]:,} and {loaded[1]:,} by the two loads): {rounds};")
    say(f"raw and quarantine were what the ledger says in each of {looks} looks")


def _start(environment: dict[str, str], *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.faults.again", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment, cwd=ROOT, text=True, stdin=pipe, stdout=pipe, stderr=pipe)


def _end(name: str, process: "subprocess.Popen[str]") -> str:
    said, faults = process.communicate(timeout=240)
    assert process.returncode == 0, f"{name}: {faults}"
    return said.splitlines()[-1]


def _as_the_ledger_says(streams: list[Stream]) -> None:
    """That at any moment, whoever is at work, each stream has as many rows in raw and quarantine as the ledger says."""
    with connect(streams[0].settings, "reader") as reader:
        reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        for stream in streams:
            count = sql.SQL(
                "select (select count(*) from {}), (select count(*) from raw.quarantine where stream = %(stream)s),"
                " coalesce(sum(rows), 0), coalesce(sum(quarantined), 0) from ops.loads where stream = %(stream)s"
            ).format(sql.Identifier("raw", stream.contract.table))
            rows, quarantined, *ledger = reader.execute(count, {"stream": stream.name}).fetchall()[0]
            assert [rows, quarantined] == ledger


def _once_each(stream: Stream) -> int:
    """Compares places in the lake with those in raw and quarantine, and the ledger; returns how many there are."""
    place = ["topic_id", "partition", "offset"]
    lake = LakeReader(stream.settings, stream.name)
    rows = lake.rows(pc.scalar(True), place)
    held = sorted(zip(*(rows[name].to_pylist() for name in place), strict=True))
    with connect(stream.settings, "reader") as reader:
        raw = reader.execute(
            sql.SQL(
                "select _topic_id, _partition, _offset from {} union all"
                ' select topic_id, partition, "offset" from raw.quarantine where stream = %s'
            ).format(sql.Identifier("raw", stream.contract.table)),
            (stream.name,),
        ).fetchall()
        ledger = reader.execute(
            "select topic_id, partition, first_offset, next_offset,"
            " lag(next_offset) over (partition by topic_id, partition order by next_offset) as before"
            " from ops.loads where stream = %s",
            (stream.name,),
        ).fetchall()
    assert sorted(raw) == held
    assert all(first == before for _, _, first, _, before in ledger)
    heads: dict[tuple[object, object], int] = {}
    for topic_id, partition, _, following, _ in ledger:
        heads[topic_id, partition] = max(heads.get((topic_id, partition), 0), int(str(following)))
    assert {key: head for key, head in heads.items() if head} == lake.next_offsets({}, stream.contract)
    return len(held)


def _raw(streams: list[Stream]) -> list[dict[date, checksum.Checksum]]:
    with connect(streams[0].settings, "reader") as reader:
        return [checksum.raw(reader, stream.contract, date.min, date.max) for stream in streams]


def _frame(settings: Settings, statement: str) -> pd.DataFrame:
    with connect(settings, "reader") as reader, reader.cursor() as cursor:
        cursor.execute(statement.encode())
        return pd.DataFrame(cursor.fetchall(), columns=[column.name for column in cursor.description or ()])
