"""The status of dates: closed by the watermarks of partitions that are not idle, pending until built."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import pytest

from sluice.contracts import load_contracts
from sluice.load import load
from sluice.reconcile import reconcile
from sluice.settings import Settings
from sluice.warehouse import connect, schema
from sluice.warehouse.dates import Connection, statuses
from tests.fixtures.servers import CONTRACT, Stream

pytestmark = pytest.mark.essential

FIRST = date(2013, 1, 1)
LATENESS = timedelta(hours=1)
END = datetime(2013, 1, 2, tzinfo=UTC)
NOW = datetime(2020, 1, 1, tzinfo=UTC)


class Warehouse:
    """A stream without data, of which only the bookkeeping of loads exists."""

    def __init__(self, connection: Connection, stream: str) -> None:
        self.connection = connection
        self.stream = stream

    def record(self, partition: int, watermark: datetime | None, loaded_at: datetime = NOW, topic: str = "t") -> None:
        """Adds the next entry to a partition's ledger."""
        key = (f"{self.stream}/{topic}", partition)
        next_offset = self.connection.execute(
            "select coalesce(max(next_offset), 0) from ops.loads where topic_id = %s and partition = %s", key
        ).fetchone()[0]
        entry = "insert into ops.loads values (%s, %s, %s, %s, %s, 0, 0, %s, %s)"
        if not next_offset:
            self.connection.execute(entry, (self.stream, *key, None, 0, None, loaded_at))
        self.connection.execute(entry, (self.stream, *key, next_offset, next_offset + 10, watermark, loaded_at))

    def closed(self) -> bool:
        return statuses(self.connection, self.stream)[FIRST].closed

    def pending(self) -> bool:
        return statuses(self.connection, self.stream)[FIRST].pending


@pytest.fixture
def warehouse(servers: Settings, tmp_path) -> Iterator[Warehouse]:
    name = f"test.s{uuid4().hex[:12]}"
    (tmp_path / f"{name}.yaml").write_text(CONTRACT.format(stream=name, partitions=3))
    schema.provision(servers, load_contracts(tmp_path))
    with connect(servers, "loader") as connection:
        connection.autocommit = True
        connection.execute(
            "insert into ops.dates (stream, event_date, rows, quarantined, late, after_close, version, loaded_at)"
            " values (%s, %s, 5, 0, 0, 0, 1, now())",
            (name, FIRST),
        )
        yield Warehouse(connection, name)


def test_a_date_closes_when_every_partition_has_passed_its_end_and_the_allowed_lateness(warehouse: Warehouse) -> None:
    assert not warehouse.closed()
    warehouse.record(0, END + LATENESS)
    # A partition without an offset does not hold the watermark back.
    assert warehouse.closed()
    warehouse.record(1, END + LATENESS - timedelta(microseconds=1))
    assert not warehouse.closed()
    warehouse.record(1, END + LATENESS)
    assert warehouse.closed()


def test_a_partition_without_a_valid_event_holds_the_watermark_back_until_it_is_idle(warehouse: Warehouse) -> None:
    warehouse.record(0, END + LATENESS)
    warehouse.record(1, None)
    assert not warehouse.closed()
    warehouse.record(0, END + LATENESS, NOW + timedelta(minutes=10))
    assert not warehouse.closed()
    warehouse.record(0, END + LATENESS, NOW + timedelta(minutes=10, seconds=1))
    assert warehouse.closed()


def test_the_partitions_of_a_recreated_topic_become_idle(warehouse: Warehouse) -> None:
    warehouse.record(0, END, topic="old")
    warehouse.record(0, END + LATENESS, NOW + timedelta(minutes=5))
    assert not warehouse.closed()
    warehouse.record(0, END + LATENESS, NOW + timedelta(minutes=11))
    assert warehouse.closed()


def test_a_stream_without_new_events_keeps_its_watermark(warehouse: Warehouse) -> None:
    warehouse.record(0, END)
    warehouse.record(1, END)
    # Both loaded long ago: neither counts as idle, because more events may still arrive.
    assert not warehouse.closed()


def test_a_stale_date_is_pending_until_it_is_built(warehouse: Warehouse) -> None:
    assert not warehouse.pending()
    mark_stale = "insert into ops.stale_dates (stream, event_date) values (%s, %s)"
    warehouse.connection.execute(mark_stale, (warehouse.stream, FIRST))
    assert warehouse.pending()
    warehouse.connection.execute("update ops.stale_dates set built_at = now() where stream = %s", (warehouse.stream,))
    assert not warehouse.pending()


def test_reconcile_reports_wrong_statistics_and_schema_drift(make_stream: Callable[..., Stream]) -> None:
    stream = make_stream(partitions=1)
    good = b'{"event_id": "e%d", "sensor": "s", "read_at": "2013-01-01T10:15:00Z", "reading": 1}'
    stream.send([*(good % number for number in range(5)), b"nope"])
    stream.land()
    load(stream.settings, stream.contract)
    with connect(stream.settings, "loader") as loader:
        loader.execute("delete from ops.dates where stream = %s", (stream.name,))
        loader.execute(
            "insert into ops.dates (stream, event_date, rows, quarantined, late, after_close, version, loaded_at)"
            " values (%s, %s, 5, 1, 2, 0, 1, now())",
            (stream.name, FIRST),
        )
        loader.execute("insert into ops.drift values (%s, %s, 'gate', 1234)", (stream.name, FIRST))
    result = reconcile(stream.settings, {stream.name: stream.contract}, full=True)
    assert result.agrees, result.text()
    assert result.rows[0].status.late == 2
    assert f"{stream.name}: 1,234 events contain the field gate, which is not in the contract" in result.text()
    with connect(stream.settings, "loader") as loader:
        loader.execute("update ops.dates set quarantined = 0 where stream = %s", (stream.name,))
    result = reconcile(stream.settings, {stream.name: stream.contract}, full=True)
    assert result.faults == [
        f"{stream.name} 2013-01-01: ops.dates records 5 rows and 0 in quarantine, but the tables hold 5 and 1"
    ]
    assert "DISAGREES" in result.text()
