"""Maintenance on real servers, while sinks write and loads read."""

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, date, datetime

import pytest
from deltalake import DeltaTable

from sluice.errors import TransientError
from sluice.lake.layout import storage_options, table_uri
from sluice.lake.maintenance import MaintenanceReport, maintain
from sluice.lake.verify import verify
from sluice.load import load
from sluice.reconcile import reconcile
from sluice.warehouse import connect
from tests.fixtures.servers import Stream

DATES = [date(2013, 1, day) for day in range(1, 7)]
ROUNDS = 12


def send(stream: Stream, number: int) -> int:
    """Sends twenty events of every date to every partition; returns the next event number."""
    for partition in range(3):
        for day in DATES:
            moment = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
            read_at = moment.isoformat().replace("+00:00", "Z")
            event = {"sensor": "s", "read_at": read_at, "reading": 1}
            values = [json.dumps(event | {"event_id": f"e{number + n}"}).encode() for n in range(20)]
            stream.send(values, int(moment.timestamp() * 1000), partition)
            number += 20
    return number


@contextmanager
def repeating(work: Callable[[], object]) -> Iterator[None]:
    """Repeats the work in the background; its errors fail the test."""
    stopping = threading.Event()

    def run() -> None:
        while not stopping.is_set():
            work()

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(run)
        try:
            yield
        finally:
            stopping.set()
        future.result()


def test_maintenance_during_writes_and_loads_keeps_every_offset_exactly_once(
    make_stream: Callable[..., Stream],
) -> None:
    stream = make_stream(partitions=3)
    stream.environment["SLUICE_SINK_AGE_SECONDS"] = "0.3"
    sent = send(stream, 0)
    sinks = [stream.start_sink(), stream.start_sink()]
    stream.wait_for_lake()
    reports: list[MaintenanceReport] = []
    conflicts = 0

    def run_maintenance() -> None:
        nonlocal conflicts
        try:
            # All dates count as closed, so that compacted dates are being written to.
            reports.append(maintain(stream.settings, stream.contract, dict.fromkeys(DATES, True)))
        except TransientError as error:
            assert "transaction" in str(error).lower()
            conflicts += 1

    with repeating(lambda: load(stream.settings, stream.contract)), repeating(run_maintenance):
        for _ in range(ROUNDS):
            sent = send(stream, sent)
        stream.wait_for_lake()
    for sink in sinks:
        stream.stop_sink(sink)
    load(stream.settings, stream.contract)

    verified = verify(table_uri(stream.settings, stream.name), storage_options(stream.settings, "reader"))
    assert (verified.faults, verified.rows) == ([], sent)
    with connect(stream.settings, "reader") as reader:
        counted = reader.execute(
            "select count(*), count(distinct (_partition, _offset)), count(distinct event_id)"
            f" from raw.{stream.contract.table}"
        ).fetchone()
    assert counted == (sent, sent, sent)
    reconciled = reconcile(stream.settings, {stream.name: stream.contract}, full=True)
    assert reconciled.agrees, reconciled.text()
    compacted = [report for report in reports if report.dates]
    print(
        f"{verified.commits} commits by sinks, {len(compacted)} of {len(reports)} runs compacted files, "
        f"{conflicts} conflicted with other writers"
    )
    assert len(compacted) > 2
    assert verified.commits > ROUNDS / 2


@pytest.mark.essential
def test_the_lake_reads_the_same_after_its_log_was_cleaned(make_stream: Callable[..., Stream]) -> None:
    stream = make_stream(partitions=3)
    sent = send(stream, 0)
    stream.land()
    uri = table_uri(stream.settings, stream.name)
    keeper = DeltaTable(uri, storage_options=storage_options(stream.settings, "keeper"))
    keeper.alter.set_table_properties({"delta.logRetentionDuration": "interval 0 seconds"})
    next_offsets = stream.next_offsets()
    # The store's timestamps have a resolution of seconds.
    threading.Event().wait(1.1)
    report = maintain(stream.settings, stream.contract, {})
    assert report.log_removed >= 2
    assert stream.next_offsets() == next_offsets
    assert load(stream.settings, stream.contract).rows == sent
    sent = send(stream, sent)
    stream.land()
    assert load(stream.settings, stream.contract).rows == sent // 2
    assert maintain(stream.settings, stream.contract, dict.fromkeys(DATES, True)).dates == len(DATES)
    verified = verify(uri, storage_options(stream.settings, "reader"))
    assert (verified.faults, verified.rows) == ([], sent)
    # The hashes were archived before the log was cleaned.
    assert verified.unverified == 0
    reconciled = reconcile(stream.settings, {stream.name: stream.contract}, full=True)
    assert reconciled.agrees, reconciled.text()
