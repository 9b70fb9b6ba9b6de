"""A mart that someone adds, changes or holds costs no other mart. With real dbt and Postgres."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from psycopg import sql

from sluice.contracts import read_contract
from sluice.errors import TerminalError, TransientError
from sluice.transform import publish
from sluice.transform.dbt import Dbt
from sluice.transform.lineage import readers_of_source
from sluice.warehouse import connect, schema
from sluice.warehouse.streams import drop_stream
from tests.fixtures.marts import TABLES, Marts, built, marts
from tests.fixtures.servers import CONTRACT

__all__ = ["built", "marts"]


@pytest.fixture
def learner(marts: Marts) -> Iterator[Marts]:
    """The marts; what the test's own models leave in the warehouse is dropped afterwards."""
    yield marts
    marts.execute("drop schema if exists learner cascade", "postgres")
    with connect(marts.settings, "postgres") as connection:
        for schema_name, name, kind in connection.execute(
            "select nspname, relname,"
            " case relkind when 'v' then 'view' when 'm' then 'materialized view' else 'table' end"
            " from pg_class c join pg_namespace n on n.oid = relnamespace"
            " where nspname in ('staging', 'marts') and relname like 'my%' and relkind in ('r', 'v', 'm')"
        ).fetchall():
            name = sql.Identifier(str(schema_name), str(name))
            connection.execute(sql.SQL("drop {} if exists {} cascade").format(sql.SQL(str(kind)), name))  # type: ignore[arg-type]
    marts.transform()
    marts.assert_correct()


ROUTES = "select origin, dest, count(*) as flights from {{ ref('fct_flights') }} group by origin, dest"
PYTHON = "def model(dbt, session):\n    return dbt.ref('fct_flights')\n"
ROUTES_QUERY = "select origin, dest, count(*) from marts.fct_flights group by 1, 2"


@pytest.mark.essential
def test_a_plain_model_is_published_by_every_run(learner: Marts) -> None:
    with learner.broken("models/marts/my_routes.sql", "", ROUTES):
        for _ in range(2):
            learner.load()
            learner.transform()
            assert_equals(learner, "my_routes", ROUTES_QUERY)


CONFIGURATIONS = {
    "my_view": "materialized='view'",
    "my_increments": "materialized='incremental', unique_key='origin'",
    "my_materialized_view": "materialized='materialized_view'",
    "my_odd_names": "alias='my Routes; %s {0} é', schema='elsewhere', database='marts'",
    "my_" + "r" * 57: "materialized='table', unlogged=true",
    "deeper/still/my_folder": "indexes=[{'columns': ['origin', 'dest'], 'unique': true}]",
}


def test_marts_of_any_configuration_are_published(learner: Marts) -> None:
    (learner.settings.dbt / "models/marts/deeper/still").mkdir(parents=True)
    with ExitStack() as models:
        for file, config in CONFIGURATIONS.items():
            text = "{{ config(" + config + ") }}\n" + ROUTES
            models.enter_context(learner.broken(f"models/marts/{file}.sql", "", text))
        for _ in range(2):
            learner.load()
            learner.transform()
            learner.assert_correct()
            for file, config in CONFIGURATIONS.items():
                alias = re.search(r"alias='(.*?)'", config)
                assert_equals(learner, alias[1] if alias else file.rsplit("/", 1)[-1], ROUTES_QUERY)


def assert_equals(marts: Marts, name: str, query: str) -> None:
    """Asserts that readers see a mart's rows, and that they are those of a query."""
    table = f'select * from marts."{name}"'
    assert marts.query(f"({table} except all ({query})) union all (({query}) except all {table})").empty
    assert not marts.query(f"{table} limit 1").empty


@pytest.mark.parametrize("value", ["cast(count(*) as text)", "json_build_array(count(*))"])
def test_rows_that_cannot_be_compared_and_keys_that_are_null_are_published(learner: Marts, value: str) -> None:
    config = "{{ config(indexes=[{'columns': ['my_key'], 'unique': true}]) }}\n"
    body = f"select nullif(origin, 'EWR') as my_key, {value} as my_value from fct_flights group by origin"
    body += " union all select null, '2' union all select null, '2'"
    with learner.broken(
        "models/marts/my_keys.sql", "", config + body.replace("fct_flights", "{{ ref('fct_flights') }}")
    ):
        for _ in range(2):
            learner.load()
            learner.transform()
            as_text = "select my_key, cast(my_value as text) from ({}) as rows"
            expected = as_text.format(body.replace("fct_flights", "marts.fct_flights"))
            found = as_text.format("select * from marts.my_keys")
            assert learner.query(f"({found} except all {expected}) union all ({expected} except all {found})").empty
            assert learner.query("select count(*) from marts.my_keys").iloc[0, 0] == 5


def test_a_stream_without_a_contract_keeps_its_models_and_a_dropped_one_fails_only_those(
    learner: Marts, tmp_path: Path
) -> None:
    path = tmp_path / "my.sensors.yaml"
    path.write_text(CONTRACT.format(stream="my.sensors", partitions=1))
    contract = read_contract(path)
    schema.provision(learner.settings, {contract.stream: contract})
    with learner.broken("models/marts/my_sensors.sql", "", "select sensor from {{ source('raw', 'my_sensors') }}"):
        learner.raw.contracts[contract.stream] = contract
        learner.load()
        learner.transform()
        # The contract is removed: the table is still there, and the model is built.
        del learner.raw.contracts[contract.stream]
        learner.load()
        learner.transform()
        learner.assert_correct()
        manifest = Dbt(learner.settings, print).read_manifest_if_any()
        assert readers_of_source(manifest, "my_sensors").run == ["marts.my_sensors"]
        with connect(learner.settings, "postgres") as postgres:
            drop_stream(postgres, contract.stream)
        learner.load()
        with pytest.raises(TerminalError, match=r'my_sensors: .*relation "raw\.my_sensors" does not exist'):
            learner.transform()
        learner.assert_correct()
    # dbt's description of the project is that of the run before.
    for _ in range(2):
        learner.load()
        learner.transform()
    assert not (learner.settings.home / "dbt" / "generated" / "my_sensors.yml").exists()


def test_a_failing_model_of_its_own_stops_no_other_mart_and_is_published_once_it_works(learner: Marts) -> None:
    before = learner.contents()
    learner.load()
    with learner.broken("models/marts/my_routes.sql", "", ROUTES.replace("count(*)", "count(*) / 0")):
        with (
            learner.broken("models/marts/my_totals.sql", "", "select sum(flights) as n from {{ ref('my_routes') }}"),
            learner.broken("models/marts/my_python.py", "", PYTHON),
            learner.broken("models/marts/my_key.sql", "", "{{ config(materialized='by_key') }}\n" + ROUTES),
            pytest.raises(TerminalError, match=r"division by zero|more failed"),
        ):
            learner.transform()
        for mart, cause in (("my_totals", "my_routes"), ("my_python", "my_python"), ("my_routes", "my_routes")):
            assert f"marts.{mart} was not published: {cause} failed" in learner.lines
    # It needs no date again, because it is always built whole.
    learner.assert_correct()
    assert learner.contents() != before
    with learner.broken("models/marts/my_routes.sql", "", ROUTES):
        assert learner.transform().nodes
        assert_equals(learner, "my_routes", ROUTES_QUERY)


def test_other_relations_with_the_names_of_marts_are_named(learner: Marts) -> None:
    kinds = {
        "my_view": ("view", "as select 1 as x", "is a view"),
        "my_copy": ("materialized view", "as select 1 as x", "is a materialized view"),
        "my_numbers": ("sequence", "", "is a sequence"),
        "my_type": ("type", "as enum ('x')", 'type "my_type" already exists'),
    }
    learner.load()
    with ExitStack() as models:
        for name, (kind, definition, _) in kinds.items():
            learner.execute(f"create {kind} marts.{name} {definition}")
            models.enter_context(learner.broken(f"models/marts/{name}.sql", "", ROUTES))
        with pytest.raises(TerminalError, match=r"marts\.my_.* was not published: .*; 3 more were not published"):
            learner.transform()
        for name, (kind, _, cause) in kinds.items():
            assert [line for line in learner.lines if f"marts.{name} was not published: " in line and cause in line]
            learner.execute(f"drop {kind} marts.{name}")
        learner.assert_correct()
        learner.transform()
        for name in kinds:
            assert_equals(learner, name, ROUTES_QUERY)


def test_a_changed_mart_keeps_its_grants_and_comments_and_names_the_views_that_depend_on_it(learner: Marts) -> None:
    with learner.broken("models/marts/my_routes.sql", "", ROUTES):
        learner.load()
        learner.transform()
    learner.execute("revoke all on marts.my_routes from sluice_reader")
    learner.execute("grant select (origin), references (dest) on marts.my_routes to sluice_reader with grant option")
    learner.execute("grant select on marts.my_routes to public")
    learner.execute("comment on table marts.my_routes is 'It''s mine.'")
    learner.execute("comment on column marts.my_routes.dest is 'Where to'")
    learner.execute("create schema learner create view my_view as select origin from marts.my_routes", "postgres")
    acl = (
        "select relacl::text, obj_description(c.oid, 'pg_class'), col_description(c.oid, 2), array("
        "  select attacl::text from pg_attribute where attrelid = c.oid and attacl is not null order by attname"
        ") from pg_class c where oid = 'marts.my_routes'::regclass"
    )
    before = learner.query(acl, "transformer").iloc[0].tolist()
    with learner.broken("models/marts/my_routes.sql", "", ROUTES.replace(" from", ", 'x' as added from")):
        learner.load()
        with pytest.raises(
            TerminalError, match=r"my_routes .*columns.*view learner\.my_view depends on table.* Hint: drop"
        ):
            learner.transform()
        learner.assert_correct()
        learner.execute("drop view learner.my_view", "postgres")
        learner.transform()
    assert learner.query("select distinct added from marts.my_routes", "transformer").iloc[0, 0] == "x"
    assert learner.query(acl, "transformer").iloc[0].tolist() == before


def test_a_reader_that_holds_a_mart_is_named_and_later_readers_get_through(
    learner: Marts, monkeypatch: pytest.MonkeyPatch
) -> None:
    with learner.broken("models/marts/my_routes.sql", "", ROUTES):
        learner.load()
        learner.transform()
    learner.load()
    monkeypatch.setattr(publish, "PATIENCE", timedelta(seconds=4))
    monkeypatch.setattr(publish, "_PAUSE_SECONDS", 1.0)
    with (
        learner.broken("models/marts/my_routes.sql", "", ROUTES.replace(" from", ", 'x' as added from")),
        connect(learner.settings, "reader") as idle,
    ):
        idle.execute("select * from marts.my_routes")
        with pytest.raises(
            TransientError, match=rf"held by pid {idle.info.backend_pid} \(sluice_reader, sluice-reader, idle"
        ):
            learner.transform()
        assert any("publishing waits" in line and "query started 20" in line for line in learner.lines)
        # The other marts are published, and other readers of this one do not wait.
        learner.assert_correct()
        assert "added" not in learner.query("select * from marts.my_routes limit 1")
        idle.rollback()
        learner.transform(resume=True)
        assert learner.query("select distinct added from marts.my_routes").iloc[0, 0] == "x"


def test_a_reader_of_a_mart_that_keeps_its_columns_is_not_noticed(learner: Marts) -> None:
    with learner.broken("models/marts/my_routes.sql", "", ROUTES), connect(learner.settings, "reader") as idle:
        learner.load()
        learner.transform()
        for mart in (*TABLES, "my_routes"):
            idle.execute(sql.SQL("select * from {}").format(sql.Identifier("marts", mart)))
        learner.load()
        learner.transform()
        assert not any("publishing waits" in line for line in learner.lines)
