"""Concurrent loads, reloads and transforms while events arrive have the same result as running one after another."""

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
from tests.fixtures import truth
from tests.fixtures.servers import Stream
from tests.fixtures.waiting import wait

FIRST, LAST = "2013-01-01", "2013-01-02"
DAYS = ["2013-01-01", "2013-01-02"]
"""UTC dates. Only a few, so that two reloads often work on the same date."""
INJECTED = ("--late=0.1:24", "--duplicates=0.05", "--corrupt=0.01", "--invalid=0.05")
SPEED = 9_000
"""Seconds of event time per second; the replay takes about 25 seconds."""
WORK = {
    "a load": ("load",),
    "another load": ("load",),
    "reloads": ("reload", *DAYS),
    "other reloads": ("reload", *DAYS),
    "transforms": ("transform",),
}


@pytest.fixture
def streams(servers: Settings, environment_file: Path, tmp_path: Path) -> Iterator[list[Stream]]:
    """The real streams, with a separate warehouse for the test."""
    settings = servers.model_copy(update={"warehouse": "at_once", "home": tmp_path, "contracts": ROOT / "contracts"})
    contracts = load_contracts(settings.contracts)
    topics.provision(settings, contracts)
    schema.provision(settings, contracts)
    made = [Stream(settings, contract, environment_file) for contract in contracts.values()]
    for stream in made:
        stream.environment |= {"SLUICE_WAREHOUSE": settings.warehouse, "SLUICE_HOME": str(settings.home)}
    yield made
    for stream in made:
        stream.close()


def test_concurrent_loads_reloads_and_transforms_are_serializable(
    streams: list[Stream], say: Callable[[str], None], new_seed: int
) -> None:
    settings, environment = streams[0].settings, streams[0].environment
    contracts = {stream.name: stream.contract for stream in streams}
    sink = streams[0].start_sink()
    wait("the sink creates the tables", lambda: all(stream.next_offsets() for stream in streams))
    replay = [sys.executable, "-m", "producers", "replay", f"--from={FIRST}", f"--to={LAST}", f"--speed={SPEED}"]
    work = {name: _start(environment, *arguments) for name, arguments in WORK.items()}
    checks = 0
    try:
        with subprocess.Popen([*replay, *INJECTED, f"--seed={new_seed}"], env=environment, cwd=ROOT) as producer:
            while producer.poll() is None:
                _check_ledger(streams)
                checks += 1
                time.sleep(0.1)
        assert producer.returncode == 0
        for stream in streams:
            stream.wait_for_lake()
        done = {name: json.loads(_finish(name, process)) for name, process in work.items()}
    finally:
        for process in work.values():
            process.kill()
            process.wait()
    streams[0].stop_sink(sink)
    final_loads = [load(settings, contract) for contract in contracts.values()]
    transform(settings, contracts, dbt=Dbt(settings, print), run="final", log_line=print)

    records = sum(_check_exactly_once(stream) for stream in streams)
    # No record was loaded by more than one of the loads.
    final_rows = sum(report.rows + report.quarantined for report in final_loads)
    loaded = [done["a load"]["rows"], done["another load"]["rows"], final_rows]
    assert sum(loaded) == records
    assert min(done[name]["rounds"] for name in ("a load", "another load", "reloads", "other reloads")) > 1
    assert min(done[name]["dates"] for name in ("reloads", "other reloads", "transforms")) > 0
    report = reconcile(settings, contracts, full=True)
    assert report.agrees, report.text()
    assert not report.pending_dates
    truth.assert_marts(lambda statement: _frame(settings, statement), FIRST, LAST)
    before = _raw_checksums(streams)
    rebuilt = rebuild(settings, contracts, dbt=Dbt(settings, print), log_line=print)
    assert rebuilt.comparable
    assert rebuilt.same, rebuilt.text()
    assert _raw_checksums(streams) == before
    rounds = ", ".join(f"{name} {counts['rounds']} times" for name, counts in done.items())
    say(f"{records:,} records loaded exactly once ({loaded[0]:,} and {loaded[1]:,} by the two loads): {rounds};")
    say(f"raw and quarantine matched the ledger in each of {checks} checks")


def _start(environment: dict[str, str], *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.faults.worker", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment, cwd=ROOT, text=True, stdin=pipe, stdout=pipe, stderr=pipe)


def _finish(name: str, process: "subprocess.Popen[str]") -> str:
    output, errors = process.communicate(timeout=240)
    assert process.returncode == 0, f"{name}: {errors}"
    return output.splitlines()[-1]


def _check_ledger(streams: list[Stream]) -> None:
    """Requires that every stream has as many rows in raw and quarantine as the ledger, at any moment."""
    with connect(streams[0].settings, "reader") as reader:
        reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        for stream in streams:
            count = sql.SQL(
                "select (select count(*) from {}), (select count(*) from raw.quarantine where stream = %(stream)s),"
                " coalesce(sum(rows), 0), coalesce(sum(quarantined), 0) from ops.loads where stream = %(stream)s"
            ).format(sql.Identifier("raw", stream.contract.table))
            rows, quarantined, *ledger = reader.execute(count, {"stream": stream.name}).fetchall()[0]
            assert [rows, quarantined] == ledger


def _check_exactly_once(stream: Stream) -> int:
    """Compares the records in the lake with raw, quarantine and the ledger; returns their number."""
    record_id = ["topic_id", "partition", "offset"]
    lake = LakeReader(stream.settings, stream.name)
    rows = lake.rows(pc.scalar(True), record_id)
    in_lake = sorted(zip(*(rows[name].to_pylist() for name in record_id), strict=True))
    with connect(stream.settings, "reader") as reader:
        raw = reader.execute(
            sql.SQL(
                "select _topic_id, _partition, _offset from {} union all"
                ' select topic_id, partition, "offset" from raw.quarantine where stream = %s'
            ).format(sql.Identifier("raw", stream.contract.table)),
            (stream.name,),
        ).fetchall()
        ledger = reader.execute(
            "select topic_id, partition, start_offset, next_offset,"
            " lag(next_offset) over (partition by topic_id, partition order by next_offset) as before"
            " from ops.loads where stream = %s",
            (stream.name,),
        ).fetchall()
    assert sorted(raw) == in_lake
    assert all(first == before for _, _, first, _, before in ledger)
    loaded: dict[tuple[object, object], int] = {}
    for topic_id, partition, _, next_offset, _ in ledger:
        loaded[topic_id, partition] = max(loaded.get((topic_id, partition), 0), int(str(next_offset)))
    assert {key: offset for key, offset in loaded.items() if offset} == lake.next_offsets()
    return len(in_lake)


def _raw_checksums(streams: list[Stream]) -> list[dict[date, checksum.Checksum]]:
    with connect(streams[0].settings, "reader") as reader:
        return [checksum.raw(reader, stream.contract, date.min, date.max) for stream in streams]


def _frame(settings: Settings, statement: str) -> pd.DataFrame:
    with connect(settings, "reader") as reader, reader.cursor() as cursor:
        cursor.execute(statement.encode())
        return pd.DataFrame(cursor.fetchall(), columns=[column.name for column in cursor.description or ()])
