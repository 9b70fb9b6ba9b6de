"""Maintenance on real servers, while sinks write and loads read."""

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, date, datetime

from deltalake import DeltaTable

from sluice.errors import TransientError
from sluice.lake.layout import storage_options, table_uri
from sluice.lake.maintenance import MaintenanceReport, maintain
from sluice.lake.verify import verify
from sluice.load import load
from sluice.reconcile import reconcile
from sluice.warehouse import connect
from tests.servers import Stream

DATES = [date(2013, 1, day) for day in range(1, 7)]
ROUNDS = 12


def send(stream: Stream, first: int) -> int:
    """Twenty events of every date into every partition; returns the next number."""
    for partition in range(3):
        for day in DATES:
            moment = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
            read_at = moment.isoformat().replace("+00:00", "Z")
            event = {"sensor": "s", "read_at": read_at, "reading": 1}
            values = [json.dumps(event | {"event_id": f"e{first + n}"}).encode() for n in range(20)]
            stream.send(values, int(moment.timestamp() * 1000), partition)
            first += 20
    return first


@contextmanager
def going_on(work: Callable[[], object]) -> Iterator[None]:
    """Does the work again and again meanwhile; its errors are the test's."""
    stopped = threading.Event()

    def again() -> None:
        while not stopped.is_set():
            work()

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(again)
        try:
            yield
        finally:
            stopped.set()
        done.result()


def test_while_sinks_write_and_loads_read_each_offset_is_seen_once(make_stream: Callable[..., Stream]) -> None:
    stream = make_stream(partitions=3)
    stream.environment["SLUICE_SINK_AGE_SECONDS"] = "0.3"
    sent = send(stream, 0)
    sinks = [stream.start_sink(), stream.start_sink()]
    stream.wait_for_lake()
    reports: list[MaintenanceReport] = []
    met = 0

    def tidy() -> None:
        nonlocal met
        try:
            # All dates are taken to be closed: what is joined is being written to.
            reports.append(maintain(stream.settings, stream.contract, dict.fromkeys(DATES, True)))
        except TransientError as error:
            assert "transaction" in str(error).lower()
            met += 1

    with going_on(lambda: load(stream.settings, stream.contract)), going_on(tidy):
        for _ in range(ROUNDS):
            sent = send(stream, sent)
        stream.wait_for_lake()
    for sink in sinks:
        stream.stop_sink(sink)
    load(stream.settings, stream.contract)

    proof = verify(table_uri(stream.settings, stream.name), storage_options(stream.settings, "reader"))
    assert (proof.faults, proof.rows) == ([], sent)
    with connect(stream.settings, "reader") as reader:
        counted = reader.execute(
            "select count(*), count(distinct (_partition, _offset)), count(distinct event_id)"
            f" from raw.{stream.contract.table}"
        ).fetchone()
    assert counted == (sent, sent, sent)
    compared = reconcile(stream.settings, {stream.name: stream.contract}, patience=0)
    assert compared.agrees, compared.text()
    joined = [report for report in reports if report.dates]
    print(
        f"{proof.commits} commits of sinks, {len(joined)} of {len(reports)} runs joined files, {met} met other writers"
    )
    assert len(joined) > 2
    assert proof.commits > ROUNDS / 2


def test_the_log_is_cleaned_and_the_lake_is_read_as_before(make_stream: Callable[..., Stream]) -> None:
    stream = make_stream(partitions=3)
    sent = send(stream, 0)
    stream.land()
    uri = table_uri(stream.settings, stream.name)
    keeper = DeltaTable(uri, storage_options=storage_options(stream.settings, "keeper"))
    keeper.alter.set_table_properties({"delta.logRetentionDuration": "interval 0 seconds"})
    heads = stream.next_offsets()
    # The store's clock counts whole seconds.
    threading.Event().wait(1.1)
    report = maintain(stream.settings, stream.contract, {})
    assert report.log_removed >= 2
    assert stream.next_offsets() == heads
    assert load(stream.settings, stream.contract).rows == sent
    sent = send(stream, sent)
    stream.land()
    assert load(stream.settings, stream.contract).rows == sent // 2
    assert maintain(stream.settings, stream.contract, dict.fromkeys(DATES, True)).dates == len(DATES)
    proof = verify(uri, storage_options(stream.settings, "reader"))
    assert (proof.faults, proof.rows) == ([], sent)
    assert proof.unproved == sent
    compared = reconcile(stream.settings, {stream.name: stream.contract}, patience=0)
    assert compared.agrees, compared.text()
