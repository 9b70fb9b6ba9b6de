"""Reconciliation on real servers: at one moment, at once, and at the cost of what is new."""

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import date, timedelta
from io import BytesIO
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pytest
from deltalake import DeltaTable
from psycopg import sql

from sluice.kafka import topics
from sluice.lake import bucket
from sluice.lake.chunk import Chunk, record_columns
from sluice.lake.layout import storage_options, table_uri, transaction_id
from sluice.lake.reader import LakeReader
from sluice.lake.table import LakeTable
from sluice.load import load
from sluice.reconcile import Reconciliation, reconcile, run
from sluice.reconcile.tally import OffsetSum, offset_sum, sql_sums
from sluice.settings import ROOT, Settings
from sluice.sink.gap import record_gap
from sluice.warehouse import connect
from tests.fixtures.servers import Stream

HISTORY = 100_000_000
MEMORY = 300 << 20
MEASURED = """
import sys
from bench.measure import peak_rss
from cli.app import main

try:
    main()
finally:
    print(peak_rss("self"), file=sys.stderr)
"""
"""The command line, which prints its peak memory in bytes in the end."""
DAY = "2013-01-01"
NEXT_DAY_MS = 1_357_114_500_000
"""2013-01-02T08:15:00Z."""


def event(number: int, read_at: str = "2013-01-01T10:15:00Z") -> bytes:
    return json.dumps({"event_id": f"e{number}", "sensor": "s", "read_at": read_at, "reading": 1}).encode()


def compare(stream: Stream, **options: object) -> Reconciliation:
    return reconcile(stream.settings, {stream.name: stream.contract}, **options)


def loaded(make_stream: Callable[..., Stream], events: int = 20) -> Stream:
    """Returns a stream whose events are loaded and verified."""
    stream = make_stream(partitions=2)
    stream.send([event(number) for number in range(events)])
    stream.send([event(-1), b"nope"], partition=1)
    stream.land()
    load(stream.settings, stream.contract)
    result = compare(stream)
    assert result.agrees, result.text()
    return stream


def execute(stream: Stream, statement: str, *values: object) -> None:
    with connect(stream.settings, "postgres") as warehouse:
        warehouse.execute(statement.format(raw=f"raw.{stream.contract.table}").encode(), values)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The data files that reconciliations open."""
    paths: list[str] = []
    offset_batches = LakeReader.offset_batches

    def noted(reader: LakeReader, files: pa.Table) -> object:
        paths.extend(files["path"].to_pylist() if files.num_rows else [])
        return offset_batches(reader, files)

    monkeypatch.setattr(LakeReader, "offset_batches", noted)
    return paths


def test_postgres_computes_the_same_sums(servers: Settings) -> None:
    offsets = [0, 1, 2**31 - 2, 2**31 - 1, 2**31, 2**40 + 7, 2**53 + 1, 2**62, 2**63 - 1]
    query = sql.SQL("select {} from unnest(%s::bigint[]) as t (o)").format(sql_sums("o"))
    with connect(servers, "reader") as warehouse:
        (row,) = warehouse.execute(query, (offsets,))
    assert OffsetSum(*map(int, row)) == offset_sum(np.array(offsets))
    assert offset_sum(np.array(offsets)).offsets == sum(offsets)


@pytest.mark.essential
def test_only_what_was_not_verified_before_is_read(make_stream: Callable[..., Stream], opened: list[str]) -> None:
    stream = loaded(make_stream)
    verified = set(opened)
    opened.clear()
    assert verified
    assert compare(stream).agrees
    assert opened == []
    stream.send([event(number) for number in range(20, 25)])
    stream.land()
    load(stream.settings, stream.contract)
    result = compare(stream)
    assert result.agrees, result.text()
    assert (result.rows[0].lake, result.rows[0].raw, result.rows[0].quarantined) == (27, 26, 1)
    assert opened
    assert verified.isdisjoint(opened)
    assert compare(stream, full=True).agrees
    assert verified < set(opened)


def test_damage_to_what_was_verified_is_noticed(make_stream: Callable[..., Stream]) -> None:
    stream = loaded(make_stream)
    execute(stream, "delete from {raw} where _partition = 0 and _offset = 3")
    expected = f"{stream.name}/0 {DAY}: the lake has 20 rows, the warehouse 19 and 0 in quarantine"
    assert expected in compare(stream).faults
    assert expected in compare(stream, full=True).faults
    # Nothing was recorded of what did not agree: the next comparison reads everything.
    assert expected in compare(stream).faults


def test_a_raw_row_that_was_moved_to_another_offset_is_noticed(make_stream: Callable[..., Stream]) -> None:
    stream = loaded(make_stream)
    execute(stream, "update {raw} set _offset = 4 where _partition = 0 and _offset = 3")
    assert any("with different offsets" in fault for fault in compare(stream).faults)


def test_rows_deleted_from_the_lake_are_noticed_by_its_log(make_stream: Callable[..., Stream]) -> None:
    stream = loaded(make_stream)
    keeper = DeltaTable(
        table_uri(stream.settings, stream.name), storage_options=storage_options(stream.settings, "keeper")
    )
    keeper.delete('"partition" = 0 and "offset" = 3')
    assert f"{stream.name} {DAY}: the lake's log has 21 rows, but 22 were verified" in compare(stream).faults
    assert f"{stream.name}/0: 1 offsets are missing from the lake" in compare(stream, full=True).faults


@pytest.mark.essential
def test_it_answers_at_once_and_counts_what_is_in_flight(make_stream: Callable[..., Stream]) -> None:
    stream = loaded(make_stream)
    stream.send([event(number) for number in range(20, 24)])
    stream.land()
    stream.send([event(number) for number in range(24, 29)])
    result = compare(stream)
    assert result.agrees, result.text()
    totals = result.totals[stream.name]
    assert (totals.kafka, totals.lake, totals.warehouse, totals.in_flight) == (31, 26, 22, 9)
    waited = compare(stream, patience=0.5)
    assert f"{stream.name}/0: the warehouse has offsets up to 20, Kafka up to 29, after 0 s" in waited.faults
    stream.land()
    load(stream.settings, stream.contract)
    assert (compare(stream, patience=60).agrees, compare(stream).in_flight) == (True, 0)


@pytest.mark.parametrize("before", ["read_ledgers", "_open_lake", "kafka_ranges", "read_side"])
def test_all_columns_describe_one_moment(
    make_stream: Callable[..., Stream], monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    stream = loaded(make_stream)
    step = getattr(run, before)

    def step_after_more_events(*arguments: object, **options: object) -> object:
        monkeypatch.setattr(run, before, step)
        stream.send([event(number, "2013-01-02T08:15:00Z") for number in range(20, 30)], NEXT_DAY_MS)
        # Late: the partition has reached the next day.
        stream.send([event(number) for number in range(30, 341)])
        stream.land()
        load(stream.settings, stream.contract)
        return step(*arguments, **options)

    monkeypatch.setattr(run, before, step_after_more_events)
    result = compare(stream)
    assert result.agrees, result.text()
    for row in result.rows:
        assert row.status is not None
        assert (row.lake, row.raw) == (row.raw + row.quarantined, row.status.rows)
        assert row.status.late == 0
    totals = result.totals[stream.name]
    assert totals.kafka >= totals.lake >= totals.warehouse == 22


def test_a_warehouse_that_was_loaded_again_is_compared_in_full(make_stream: Callable[..., Stream]) -> None:
    stream = loaded(make_stream)
    for table in ("ops.loads", "ops.dates", "raw.quarantine"):
        execute(stream, f"delete from {table} where stream = %s", stream.name)
    execute(stream, "truncate {raw}")
    assert compare(stream).in_flight == 22
    load(stream.settings, stream.contract)
    result = compare(stream)
    assert result.agrees, result.text()
    assert not result.in_flight


def test_a_hole_that_nothing_explains_is_a_fault_until_it_is_recorded(make_stream: Callable[..., Stream]) -> None:
    stream = make_stream(partitions=1)
    stream.send([event(number) for number in range(10)])
    (part,) = topics.kafka_ranges(stream.settings, stream.topics)
    table = LakeTable(table_uri(stream.settings, stream.name), storage_options(stream.settings, "writer"))
    table.create()
    offsets = [0, 1, 2, 6, 7, 8]
    values = [event(number) for number in offsets]
    rows = record_columns(part.topic_id, 0, offsets, [1_357_035_300_000] * 6, [b"k"] * 6, values, [None] * len(offsets))
    # A writer that skipped four records, which Kafka has.
    table.append([Chunk(part.topic_id, 0, 0, 10, rows)])
    load(stream.settings, stream.contract)
    hole = f"{stream.name}/0: offsets {{}} hold no record, and neither a transaction nor a recorded gap explains it"
    for full in (False, True, False):
        assert compare(stream, full=full).faults == [hole.format("3 to 5"), hole.format("9 to 9")]
    record_gap(stream.settings, stream.contract, 0, 6, "the writer was wrong", "tests", start=3)
    assert compare(stream).faults == [hole.format("9 to 9")]
    record_gap(stream.settings, stream.contract, 0, 10, "the writer was wrong", "tests", start=9)
    result = compare(stream)
    assert result.agrees, result.text()
    assert "4 offsets below 10 hold no record" in result.text()
    assert compare(stream, full=True).agrees


def test_a_hundred_million_rows_of_history_cost_no_data_file_and_little_memory(
    make_stream: Callable[..., Stream],
) -> None:
    stream = make_stream(partitions=1)
    build_history(stream)
    stream.send([event(number) for number in range(20)])
    stream.land()
    load(stream.settings, stream.contract)
    stream.send([event(20)])
    program = [sys.executable, "-c", MEASURED, "reconcile"]
    done = subprocess.run(program, env=stream.environment, cwd=ROOT, capture_output=True, text=True, check=False)
    # The history's data files do not exist: opening one would fail.
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stderr.split()[-1]) < MEMORY
    row = next(line for line in done.stdout.splitlines() if line.count(f"{HISTORY + 20:,}") == 2)
    assert row.split()[1:] == [f"{HISTORY + 21:,}", f"{HISTORY + 20:,}", f"{HISTORY + 20:,}", "1"]


def build_history(stream: Stream, commits: int = 400) -> None:
    """Writes a history of an earlier topic: commits whose files do not exist, the ledger, and what was verified."""
    topic, each = str(uuid4()), HISTORY // commits
    table = LakeTable(table_uri(stream.settings, stream.name), storage_options(stream.settings, "writer"))
    table.create()
    store = bucket.client(stream.settings, "writer")
    days: dict[date, int] = {}
    for number in range(commits):
        start = number * each
        day = date(2012, 1, 1) + timedelta(days=number // 10)
        days[day] = days.get(day, 0) + each
        low, high = ({"topic_id": topic, "partition": 0, "offset": offset} for offset in (start, start + each - 1))
        statistics = {"numRecords": each, "minValues": low, "maxValues": high, "nullCount": {}}
        entry = {"topic_id": topic, "partition": 0, "first": start, "next": start + each, "rows": each, "hash": ""}
        actions = [
            {
                "commitInfo": {
                    "timestamp": 0,
                    "operation": "WRITE",
                    "operationParameters": {},
                    "sluice.ranges": json.dumps([entry]),
                }
            },
            {"txn": {"appId": transaction_id(topic, 0), "version": start + each}},
            {
                "add": {
                    "path": f"event_date={day}/part-{number}.parquet",
                    "partitionValues": {"event_date": day.isoformat()},
                    "size": 1 << 20,
                    "modificationTime": 0,
                    "dataChange": True,
                    "stats": json.dumps(statistics),
                }
            },
        ]
        text = "\n".join(map(json.dumps, actions)).encode()
        store.put_object(
            bucket_name=stream.settings.lake_bucket,
            object_name=f"{stream.name}/_delta_log/{number + 1:020}.json",
            data=BytesIO(text),
            length=len(text),
        )
    # As `maintain` does every night.
    DeltaTable(
        table_uri(stream.settings, stream.name), storage_options=storage_options(stream.settings, "keeper")
    ).create_checkpoint()
    with connect(stream.settings, "postgres") as warehouse:
        ledger = "insert into ops.loads (stream, topic_id, partition, start_offset, next_offset, rows, quarantined)"
        warehouse.execute(f"{ledger} values (%s, %s, 0, null, 0, 0, 0)", (stream.name, topic))
        warehouse.execute(
            f"{ledger} select %s, %s, 0, n * %s, (n + 1) * %s, %s, 0 from generate_series(0, %s) as n",
            (stream.name, topic, each, each, each, commits - 1),
        )
        warehouse.execute(
            "insert into ops.verified_prefixes values (%s, %s, 0, %s, now())", (stream.name, topic, HISTORY)
        )
        for day, rows in days.items():
            warehouse.execute(
                "insert into ops.dates (stream, event_date, rows, quarantined, late, after_close, version, loaded_at)"
                " values (%s, %s, %s, 0, 0, 0, 1, now())",
                (stream.name, day, rows),
            )
            warehouse.execute(
                "insert into ops.verified_dates values (%s, %s, %s, 0, %s, 0, 0)", (stream.name, day, topic, rows)
            )
