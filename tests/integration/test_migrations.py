"""A warehouse of an earlier version is upgraded: each row stays, each role keeps its rights, no old name is left."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from sluice.contracts import Contract, load_contracts
from sluice.errors import TerminalError, TransientError
from sluice.settings import ROOT, Settings
from sluice.warehouse import connect, schema
from sluice.warehouse.connect import Role
from sluice.warehouse.migrations import Migration, known_migrations, migrate
from tests.fixtures.servers import CONTRACT
from tests.fixtures.warehouse import own_warehouse

BEFORE = ROOT / "tests" / "fixtures" / "warehouse_before_migrations.sql"
TABLES = {
    "ops.loads": "ops.loads",
    "ops.touched_dates": "ops.stale_dates",
    "ops.dates": "ops.dates",
    "ops.drift": "ops.drift",
    "ops.quarantine_log": "ops.quarantine_log",
    "ops.streams": "ops.streams",
    "ops.alerts": "ops.alerts",
    "raw.quarantine": "raw.quarantine",
    "raw.test_upgrade": "raw.test_upgrade",
    "live.partitions": "live.partitions",
    "live.heartbeat": "live.heartbeat",
}
"""Each table of the earlier version, and its name now."""
CATALOG = """
with tables as (
    select oid, relname, relkind, relacl, relnamespace::regnamespace::text as schema from pg_class
    where relnamespace::regnamespace::text in ('ops', 'raw', 'live')
)
select 'relation', schema, relname, relkind::text from tables
union all
-- A raw table follows its contract: columns that are new to it come last.
select 'column', relname, attname, concat_ws(' ', case when schema <> 'raw' then attnum end,
    format_type(atttypid, atttypmod), attnotnull, attidentity,
    pg_get_expr(adbin, adrelid))
from tables join pg_attribute on attrelid = tables.oid and attnum > 0 and relkind in ('r', 'v')
left join pg_attrdef on adrelid = attrelid and adnum = attnum
union all
select 'constraint', relname, conname, pg_get_constraintdef(pg_constraint.oid)
from tables join pg_constraint on conrelid = tables.oid
union all
select 'index', relname, null, pg_get_indexdef(tables.oid) from tables where relkind = 'i'
union all
select 'view', relname, null, pg_get_viewdef(tables.oid) from tables where relkind = 'v'
union all
select 'trigger', relname, tgname, pg_get_triggerdef(pg_trigger.oid)
from tables join pg_trigger on tgrelid = tables.oid and not tgisinternal
union all
select 'function', proname, null, pg_get_functiondef(oid) from pg_proc where pronamespace = 'ops'::regnamespace
union all
select 'privilege', relname, grantee::regrole::text, privilege_type from tables, aclexplode(relacl)
union all
select 'privilege', relname || '.' || attname, grantee::regrole::text, privilege_type
from tables join pg_attribute on attrelid = tables.oid, aclexplode(attacl)
order by 1, 2, 3, 4
"""


@pytest.fixture
def contracts(tmp_path: Path) -> dict[str, Contract]:
    (tmp_path / "test.upgrade.yaml").write_text(CONTRACT.format(stream="test.upgrade", partitions=2))
    return load_contracts(tmp_path)


@pytest.fixture
def warehouse(servers: Settings) -> Iterator[Settings]:
    """An empty database."""
    with own_warehouse(servers) as settings:
        yield settings


@pytest.fixture
def earlier(warehouse: Settings) -> Settings:
    """A warehouse as the earlier version left it."""
    with connect(warehouse, "postgres") as connection:
        connection.execute(BEFORE.read_bytes())
    return warehouse


def _rows(settings: Settings, table: str) -> list[str]:
    with connect(settings, "postgres") as connection:
        query = sql.SQL("select t::text from {} t order by 1").format(sql.Identifier(*table.split(".")))
        return [row for (row,) in connection.execute(query)]


def _catalog(settings: Settings) -> list[tuple[object, ...]]:
    with connect(settings, "postgres") as connection:
        return connection.execute(CATALOG.encode()).fetchall()


@pytest.mark.essential
def test_an_earlier_warehouse_is_upgraded_and_keeps_every_row(
    servers: Settings, earlier: Settings, contracts: dict[str, Contract]
) -> None:
    before = {table: _rows(earlier, table) for table in TABLES}
    assert all(before.values())

    assert schema.provision(earlier, contracts) is not None

    for table, name in TABLES.items():
        # Columns that later versions have added come last.
        for old, new in zip(before[table], _rows(earlier, name), strict=True):
            assert new.startswith(old.removesuffix(")"))
    with connect(earlier, "reader") as reader:
        ends = "select stream, partition, next_offset, rows, quarantined, watermark::date::text from ops.ledger_ends"
        assert reader.execute(f"{ends} order by topic_id, partition".encode()).fetchall() == [
            ("test.upgrade", 0, 3, 2, 1, "2013-01-02"),
            ("test.upgrade", 1, 1, 0, 1, None),
            ("other.stream", 0, 0, 0, 0, None),
        ]
        applied = reader.execute("select version, name from ops.migrations order by 1").fetchall()
    assert applied == [(migration.version, migration.name) for migration in known_migrations()]
    # Nothing is left to do, and nothing is left over.
    assert schema.provision(earlier, contracts) is None
    with own_warehouse(servers) as new:
        schema.provision(new, contracts)
        assert _catalog(earlier) == _catalog(new)
    with connect(earlier, "postgres") as connection:
        left = "select relname from pg_class where relnamespace = 'staging'::regnamespace"
        assert connection.execute(left.encode()).fetchall() == []
    names = [name for row in _catalog(earlier) for name in row[1:3] if name]
    assert not [name for name in names if any(word in str(name) for word in ("touched", "place", "first_offset"))]


ALLOWED: list[tuple[Role, str]] = [
    ("loader", "insert into ops.loads values ('test.upgrade', 'T', 0, 3, 5, 2, 0)"),
    ("loader", "insert into ops.stale_dates (stream, event_date) values ('test.upgrade', '2013-01-02')"),
    ("loader", "update ops.dates set rows = rows + 1"),
    ("loader", "delete from raw.quarantine"),
    ("loader", "delete from raw.test_upgrade"),
    ("transformer", "update ops.stale_dates set built_at = now()"),
    ("transformer", "update ops.dates set duplicates = 0, built_at = now()"),
    ("transformer", "select from raw.test_upgrade, raw.quarantine"),
    ("transformer", "create table marts.x as select 1 as a"),
    ("live", "update live.heartbeat set seen_at = now()"),
    ("live", "insert into live.partitions values ('test.upgrade', 'T', 1, 3)"),
    ("reader", "select from ops.loads, ops.ledger_ends, ops.stale_dates, ops.date_status, ops.quarantine, ops.alerts"),
    ("reader", "select from raw.test_upgrade, live.partitions, live.heartbeat, ops.watermarks, ops.migrations"),
]
DENIED: list[tuple[Role, str]] = [
    ("loader", "update ops.ledger_ends set next_offset = 0"),
    ("loader", "delete from ops.loads"),
    ("loader", "update ops.loads set rows = 0"),
    ("loader", "delete from ops.migrations"),
    ("transformer", "update ops.stale_dates set event_date = now()"),
    ("transformer", "select from ops.ledger_ends"),
    ("live", "select from ops.loads"),
    ("reader", "update ops.ledger_ends set next_offset = 0"),
]


def test_each_role_has_its_rights_after_an_upgrade(earlier: Settings, contracts: dict[str, Contract]) -> None:
    schema.provision(earlier, contracts)
    for role, statement in ALLOWED:
        with connect(earlier, role) as connection:
            connection.execute(statement.encode())
    for role, statement in DENIED:
        with connect(earlier, role) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement.encode())


def test_marts_lose_the_comments_of_earlier_transforms_and_keep_those_of_users(
    earlier: Settings, contracts: dict[str, Contract]
) -> None:
    with connect(earlier, "postgres") as connection:
        connection.execute("create table marts.facts (); create table marts.mine ()")
        connection.execute("comment on table marts.facts is 'Published from staging.facts, table 4711'")
        connection.execute("comment on table marts.mine is 'Published from memory'")
    schema.provision(earlier, contracts)
    with connect(earlier, "reader") as reader:
        query = "select obj_description(oid) from pg_class where relnamespace = 'marts'::regnamespace order by relname"
        assert reader.execute(query).fetchall() == [(None,), ("Published from memory",)]


def test_a_warehouse_of_a_later_version_is_refused_and_left_alone(
    warehouse: Settings, contracts: dict[str, Contract]
) -> None:
    schema.provision(warehouse, {})
    with connect(warehouse, "postgres") as connection:
        connection.execute("insert into ops.migrations (version, name) values (9999, 'later')")
    with pytest.raises(TerminalError, match="9999_later") as error:
        schema.provision(warehouse, contracts)
    assert "\n" not in str(error.value)
    assert not [row for row in _catalog(warehouse) if row[2] == "test_upgrade"]


def test_a_migration_that_fails_is_named_and_leaves_nothing(warehouse: Settings) -> None:
    broken = Migration(9999, "broken", "create table public.half (a int); select 1 / 0")
    failed = pytest.raises(TerminalError, match="9999_broken of the warehouse failed: division by zero")
    with failed, connect(warehouse, "postgres") as connection:
        migrate(connection, [*known_migrations(), broken])
    with connect(warehouse, "postgres") as connection:
        left = connection.execute("select to_regclass('public.half'), to_regnamespace('ops')").fetchone()
    assert left == (None, None)


def test_an_upgrade_that_cannot_lock_a_table_leaves_the_earlier_warehouse(
    earlier: Settings, contracts: dict[str, Contract], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _rows(earlier, "ops.touched_dates")
    monkeypatch.setattr(schema, "LOCK_TIMEOUT", "100ms")
    with connect(earlier, "reader") as reader:
        reader.execute("select from ops.touched_dates")
        with pytest.raises(TransientError, match="lock timeout"):
            schema.provision(earlier, contracts)
    assert _rows(earlier, "ops.touched_dates") == before
    assert schema.provision(earlier, contracts) is not None


def test_of_two_upgrades_at_once_one_migrates(earlier: Settings, contracts: dict[str, Contract]) -> None:
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda _: schema.provision(earlier, contracts), range(2)))
    assert sorted(results, key=str) == sorted([None, f"migrated to version {len(known_migrations())}"], key=str)
