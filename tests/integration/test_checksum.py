"""Checksums on a real warehouse: equal rows have equal checksums in any order, and different rows different ones."""

from collections.abc import Callable, Iterator
from datetime import date

import psycopg
import pytest

from sluice.settings import Settings
from sluice.warehouse import checksum, connect
from tests.fixtures.servers import Stream

pytestmark = pytest.mark.essential

FIRST, SECOND, THIRD = (date(2013, 1, day) for day in (1, 2, 3))

Connection = psycopg.Connection[tuple[object, ...]]


@pytest.fixture
def reader(servers: Settings) -> Iterator[Connection]:
    with connect(servers, "reader") as connection:
        yield connection
        connection.rollback()


def _insert(stream: Stream, events: list[tuple[int, date]], loaded_at: str = "2024-01-01") -> None:
    with connect(stream.settings, "loader") as loader:
        loader.execute(f"delete from raw.{stream.contract.table}".encode())
        for number, day in events:
            row = "'e' || %s, 's', %s, 1, %s, null, 't', 0, %s, %s, %s"
            loader.execute(
                f"insert into raw.{stream.contract.table} values ({row})".encode(),
                (number, day, day, number, day, loaded_at),
            )


def test_raw_checksums_depend_on_rows_but_not_on_their_order_or_load_time(
    make_stream: Callable[..., Stream], reader: Connection
) -> None:
    stream = make_stream()

    def checksums() -> dict[date, checksum.Checksum]:
        reader.rollback()
        return checksum.raw(reader, stream.contract, FIRST, SECOND)

    _insert(stream, [(1, FIRST), (2, FIRST), (3, SECOND), (4, THIRD)])
    before = checksums()
    assert {day: day_checksum.rows for day, day_checksum in before.items()} == {FIRST: 2, SECOND: 1}
    _insert(stream, [(3, SECOND), (2, FIRST), (1, FIRST)], loaded_at="2025-06-30")
    reader.execute("set timezone to 'America/New_York'")
    reader.commit()
    assert checksums() == before
    _insert(stream, [(1, FIRST), (5, FIRST), (3, SECOND)])
    after = checksums()
    assert after[SECOND] == before[SECOND]
    assert after[FIRST].rows == 2
    assert after[FIRST].hash != before[FIRST].hash


def test_marts_checksums_find_the_date_of_each_table(servers: Settings, reader: Connection) -> None:
    with connect(servers, "transformer") as transformer:
        for table, columns, rows in (
            (
                "test_daily",
                "n int, at timestamptz, day date",
                "(1, '2013-01-05', '2013-01-01'), (2, null, '2013-01-02')",
            ),
            ("test_hourly", "hour timestamptz, n int", "('2013-01-01 23:30+00', 1), ('2013-01-02 01:00+02', 2)"),
            ("test_dim", "code text, n int", "('a', 1), ('b', null)"),
            ("test_dim_reordered", "n int, code text", "(null, 'b'), (1, 'a')"),
        ):
            transformer.execute(f"create table marts.{table} ({columns})".encode())
            transformer.execute(f"insert into marts.{table} values {rows}".encode())
    try:
        found = checksum.marts(reader, FIRST, FIRST)
    finally:
        reader.rollback()
        with connect(servers, "transformer") as transformer:
            transformer.execute(
                "drop table marts.test_daily, marts.test_hourly, marts.test_dim, marts.test_dim_reordered"
            )
    rows = {table: {day: table_checksum.rows for day, table_checksum in days.items()} for table, days in found.items()}
    assert rows == {
        "test_daily": {FIRST: 1},
        "test_hourly": {FIRST: 2},
        "test_dim": {None: 2},
        "test_dim_reordered": {None: 2},
    }
    assert found["test_dim"] == found["test_dim_reordered"]
