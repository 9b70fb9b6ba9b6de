"""The ends of the ledger equal the ledger after every change, and readers use them instead of scanning it."""

import random
from collections.abc import Callable, Iterator
from datetime import date, timedelta

import psycopg
import pytest

from dashboard import queries
from dashboard.flights import queries as flights
from sluice.alerts.checks import high_quarantine_rate
from sluice.backfill.snapshot import take_snapshot
from sluice.contracts import Contract, load_contracts
from sluice.load.reload import Reload
from sluice.load.transaction import transaction
from sluice.settings import Settings
from sluice.warehouse import connect, schema
from sluice.warehouse.dates import statuses
from tests.fixtures.servers import CONTRACT
from tests.fixtures.waiting import wait
from tests.fixtures.warehouse import own_warehouse

STREAM = "test.ends"
ENTRIES = 100_000
DAY = date(2013, 1, 1)
FROM_LEDGER = """
select distinct on (topic_id, partition) stream, topic_id, partition, next_offset,
    (sum(rows) over entries)::bigint, (sum(quarantined) over entries)::bigint, watermark, loaded_at
from ops.loads window entries as (partition by topic_id, partition)
order by topic_id, partition, next_offset desc
"""
ENDS = """
select stream, topic_id, partition, next_offset, rows, quarantined, watermark, loaded_at
from ops.ledger_ends order by topic_id, partition
"""


@pytest.fixture(scope="module")
def contract(tmp_path_factory: pytest.TempPathFactory) -> Contract:
    folder = tmp_path_factory.mktemp("contracts")
    (folder / f"{STREAM}.yaml").write_text(CONTRACT.format(stream=STREAM, partitions=2))
    return load_contracts(folder)[STREAM]


@pytest.fixture(scope="module")
def warehouse(servers: Settings, contract: Contract) -> Iterator[Settings]:
    """A warehouse with two ledgers of 50,000 entries each, all but two of them older than an hour."""
    with own_warehouse(servers) as settings:
        schema.provision(settings, {STREAM: contract})
        with connect(settings, "loader") as loader:
            loader.execute(
                "insert into ops.loads select %s, 'T', partition, nullif(10 * (n - 1), -10), 10 * n,"
                " case when n > 0 then 9 else 0 end, case when n > 0 then 1 else 0 end,"
                " timestamptz '2013-01-01 00:00:00+00' + n * interval '1 second',"
                " now() - case when n < %s then interval '2 hours' else interval '0' end"
                " from generate_series(0, %s) n, generate_series(0, 1) partition",
                (STREAM, ENTRIES // 2 - 1, ENTRIES // 2 - 1),
            )
        with connect(settings, "postgres") as postgres:
            # What the flights page reads besides the ledger.
            postgres.execute("create table live.flights (hour timestamptz)")
            postgres.execute("create table marts.fct_flights (departed_at timestamptz)")
            postgres.execute("grant select on live.flights, marts.fct_flights to sluice_reader")
            postgres.commit()
            postgres.autocommit = True
            postgres.execute("vacuum analyze ops.loads")
        yield settings


def _assert_equal(settings: Settings) -> None:
    with connect(settings, "reader") as reader:
        assert reader.execute(ENDS.encode()).fetchall() == reader.execute(FROM_LEDGER.encode()).fetchall()


@pytest.mark.essential
def test_a_rejected_range_changes_neither_the_ledger_nor_its_ends(warehouse: Settings) -> None:
    end = 10 * (ENTRIES // 2 - 1)
    for start_offset, next_offset, expected in (
        (end - 10, end + 5, psycopg.errors.UniqueViolation),
        (end + 1, end + 5, psycopg.errors.ForeignKeyViolation),
        (end, end, psycopg.errors.CheckViolation),
    ):
        with connect(warehouse, "loader") as loader, pytest.raises(expected):
            # The range of the other partition is valid, but it is in the same statement.
            loader.execute(
                "insert into ops.loads (stream, topic_id, partition, start_offset, next_offset, rows, quarantined)"
                " values (%(stream)s, 'T', 0, %(end)s, %(end)s + 10, 1, 0),"
                " (%(stream)s, 'T', 1, %(start)s, %(next)s, 1, 0)",
                {"stream": STREAM, "end": end, "start": start_offset, "next": next_offset},
            )
        _assert_equal(warehouse)
        with connect(warehouse, "reader") as reader:
            assert reader.execute("select distinct next_offset from ops.ledger_ends").fetchall() == [(end,)]
            assert reader.execute("select count(*) from ops.loads").fetchone() == (ENTRIES,)


@pytest.mark.parametrize("seed", range(3))
def test_the_ends_equal_the_ledger_after_every_change(servers: Settings, contract: Contract, seed: int) -> None:
    randomly = random.Random(seed)
    insert = (
        "insert into ops.loads (stream, topic_id, partition, start_offset, next_offset, rows, quarantined, watermark)"
        " values (%s, %s, %s, %s, %s, %s, %s, timestamptz '2013-01-01' + %s * interval '1 hour')"
    )
    ledgers: dict[tuple[str, int], list[int]] = {}
    with own_warehouse(servers) as settings:
        schema.provision(settings, {STREAM: contract})
        with connect(settings, "postgres") as postgres:
            for _ in range(100):
                key = (randomly.choice("TU"), randomly.randrange(2))
                offsets = ledgers.setdefault(key, [])
                change = randomly.choice(["add", "add", "add", "add two", "remove", "correct", "empty"])
                if change == "add" or change == "add two":
                    rows = []
                    for _ in range(1 + (change == "add two")):
                        start_offset = offsets[-1] if offsets else None
                        offsets.append(0 if start_offset is None else start_offset + randomly.randint(1, 9))
                        counts = (0, 0, None) if start_offset is None else [randomly.randrange(9) for _ in range(3)]
                        rows.append((STREAM, *key, start_offset, offsets[-1], *counts))
                    values = ", ".join([insert.partition(" values ")[2]] * len(rows))
                    statement = f"{insert.partition(' values ')[0]} values {values}"
                    postgres.execute(statement.encode(), [value for row in rows for value in row])
                elif change == "remove" and offsets:
                    postgres.execute(
                        "delete from ops.loads where topic_id = %s and partition = %s and next_offset = %s",
                        (*key, offsets.pop()),
                    )
                elif change == "correct":
                    postgres.execute(
                        "update ops.loads set rows = rows + 1 where topic_id = %s and next_offset > 3", key[:1]
                    )
                elif change == "empty" and not randomly.randrange(5):
                    postgres.execute("truncate ops.loads")
                    ledgers.clear()
                assert postgres.execute(ENDS.encode()).fetchall() == postgres.execute(FROM_LEDGER.encode()).fetchall()


def _load(settings: Settings, contract: Contract) -> None:
    with transaction(settings, contract) as load:
        assert len(load.ledger_ends()) == 2


def _reload(settings: Settings, contract: Contract) -> None:
    with transaction(settings, contract) as load:
        assert len(Reload(load, contract, DAY).ranges) == 2


def _snapshot(settings: Settings, contract: Contract) -> None:
    assert len(take_snapshot(settings, [contract], DAY, DAY + timedelta(days=1)).ledger_positions[STREAM]) == 2


def _alert(settings: Settings, contract: Contract) -> None:
    assert high_quarantine_rate(settings) == {}


def _read(query: Callable[[psycopg.Connection], object]) -> Callable[[Settings, Contract], None]:
    def read(settings: Settings, contract: Contract) -> None:
        with connect(settings, "reader") as reader:
            query(reader)

    return read


@pytest.mark.parametrize(
    "read",
    [
        pytest.param(_load, id="load"),
        pytest.param(_reload, id="reload"),
        pytest.param(_snapshot, id="snapshot of a backfill"),
        pytest.param(_alert, id="alert on the quarantine rate"),
        pytest.param(_read(lambda reader: reader.execute("select * from ops.watermarks").fetchall()), id="watermarks"),
        pytest.param(_read(lambda reader: statuses(reader, STREAM)), id="status of dates"),
        pytest.param(_read(queries.streams), id="dashboard's streams"),
        pytest.param(_read(flights.progress), id="dashboard's live view"),
    ],
)
def test_a_reader_does_not_scan_the_ledger(
    warehouse: Settings, contract: Contract, read: Callable[[Settings, Contract], None]
) -> None:
    before = _entries_read(warehouse)
    read(warehouse, contract)
    assert _entries_read(warehouse) - before < 100


def test_a_scan_of_the_ledger_would_be_noticed(warehouse: Settings) -> None:
    before = _entries_read(warehouse)
    with connect(warehouse, "reader") as reader:
        reader.execute(
            "select stream, topic_id, partition, max(next_offset) from ops.loads group by 1, 2, 3"
        ).fetchall()
    assert _entries_read(warehouse) - before >= ENTRIES


def _entries_read(settings: Settings) -> int:
    """Returns how many entries of the ledger and of its indexes all sessions have read."""
    with connect(settings, "postgres") as postgres:
        postgres.autocommit = True
        # A session adds its counts before it is removed from pg_stat_activity.
        others = (
            "select pid, query from pg_stat_activity"
            " where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid()"
        )
        wait("the other sessions to end", lambda: not postgres.execute(others).fetchall())
        row = postgres.execute(
            "select (select seq_tup_read from pg_stat_user_tables where relid = 'ops.loads'::regclass)"
            " + (select sum(idx_tup_read) from pg_stat_user_indexes where relid = 'ops.loads'::regclass)"
        ).fetchone()
    return int(row[0])
