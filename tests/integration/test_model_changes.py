"""Every change of a dbt project that dbt's documentation teaches reaches the readers. With real dbt and Postgres."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from psycopg import sql

from sluice.errors import TerminalError
from sluice.transform.dbt import Dbt
from sluice.transform.removed import drop_marts, find_removed, read_removed
from sluice.warehouse import connect
from tests.fixtures.marts import Marts, built, marts

__all__ = ["built", "marts"]

DAILY = "models/marts/agg_carrier_daily.sql"
FLIGHTS = "models/marts/fct_flights.sql"
ROUTES = "select origin, dest, count(*) as flights from {{ ref('fct_flights') }} group by origin, dest"
ROUTES_QUERY = "select origin, dest, count(*) from marts.fct_flights group by 1, 2"


@pytest.fixture
def learner(marts: Marts) -> Iterator[Marts]:
    """The marts; what the test's own models leave in the warehouse is dropped afterwards."""
    yield marts
    with connect(marts.settings, "postgres") as connection:
        for schema, name in connection.execute(
            "select schemaname, tablename from pg_tables"
            " where schemaname in ('staging', 'marts', 'snapshots') and tablename like 'my%'"
        ).fetchall():
            connection.execute(sql.SQL("drop table {} cascade").format(sql.Identifier(str(schema), str(name))))
    marts.transform()
    marts.assert_correct()


def values(marts: Marts, query: str) -> list[object]:
    return list(marts.query(query).iloc[:, 0])


def test_a_column_that_is_added_and_removed_rebuilds_the_mart_and_what_is_built_from_it(learner: Marts) -> None:
    with (
        learner.broken(
            FLIGHTS,
            "        carrier,\n        flight_number",
            "        carrier,\n        'x' as mine,\n        flight_number",
        ),
        learner.broken(
            DAILY,
            "        carrier,\n        count(*)",
            "        carrier,\n        max(mine) as mine,\n        count(*)",
        ),
        learner.broken(
            DAILY, "        cancelled,\n        avg", "        cancelled,\n        mine as renamed,\n        avg"
        ),
    ):
        report = learner.transform()
        # Without a stale date, in all of the history, and with the tests of whole tables.
        assert report.dates == {}
        assert values(learner, "select distinct mine from marts.fct_flights") == ["x"]
        assert values(learner, "select distinct renamed from marts.agg_carrier_daily") == ["x"]
        assert (
            "columns or configuration have changed: agg_airport_hourly, agg_carrier_daily, fct_flights" in report.text()
        )
        assert any("PASS unique_fct_flights_flight_id" in line for line in learner.lines)
        learner.assert_correct()
        # The next dates are rebuilt by key again.
        learner.load()
        assert not learner.transform().notes
        learner.assert_correct()
    assert "rebuilt all rows" in learner.transform().text()
    assert "mine" not in learner.query("select * from marts.fct_flights limit 1")


def test_the_whole_first_build_of_a_mart_is_tested_before_it_is_published(learner: Marts) -> None:
    learner.load()
    learner.transform()
    model = """
        {{ config(materialized='by_key', rebuild='flight_date') }}
        select flight_date, count(*) as flights from {{ ref('fct_flights') }} where {{ is_stale() }}
        group by flight_date
    """
    properties = "models: [{name: my_days, columns: [{name: flights, data_tests: [not_null]}]}]"
    published = "select count(*) from pg_tables where schemaname = 'marts' and tablename = 'my_days'"
    with (
        learner.broken("models/marts/my_days.yml", "", properties),
        learner.broken("models/marts/my_days.sql", "", model),
    ):
        with (
            # Wrong in the oldest date alone, which is not stale.
            learner.broken(
                "models/marts/my_days.sql", "count(*)", "case when flight_date > date '2013-01-01' then count(*) end"
            ),
        ):
            with pytest.raises(TerminalError, match="not_null_my_days_flights"):
                learner.transform()
            # Dates that pass do not publish the others.
            learner.load()
            with pytest.raises(TerminalError, match="not_null_my_days_flights"):
                learner.transform()
            assert values(learner, published) == [0]
        assert learner.transform().text()
        assert values(learner, published) == [1]
        assert values(learner, "select sum(flights) from marts.my_days") == values(
            learner, "select count(*) from marts.fct_flights"
        )
        # From now on by key: no date is stale.
        assert learner.transform().nodes == 0


def test_a_mart_that_cannot_be_rebuilt_is_named_and_costs_no_other(learner: Marts) -> None:
    learner.load()
    before = learner.contents()
    with (
        learner.broken(
            DAILY, "        cancelled,\n        avg", "        cancelled,\n        1 / 0 as mine,\n        avg"
        ),
        pytest.raises(TerminalError, match=r"agg_carrier_daily: .*division by zero"),
    ):
        learner.transform()
    assert "marts.agg_carrier_daily was not published: agg_carrier_daily failed" in learner.lines
    after = learner.contents()
    assert after["agg_carrier_daily"] == before["agg_carrier_daily"]
    assert after["fct_flights"] != before["fct_flights"]
    learner.transform()
    learner.assert_correct()


@pytest.mark.parametrize(
    ("file", "text", "cause"),
    [
        ("models/marts/my_half.sql", "select * from {{ ref('fct_flights'", "my_half"),
        ("models/marts/my_half.yml", "models:\n  - name: [\n", "my_half.yml"),
        ("macros/my_half.sql", "{% macro my_half() %}", "close tag for macro"),
        ("packages.yml", "packages:\n  - local: packages/my_missing\n", "dbt packages cannot be installed"),
    ],
    ids=["model", "properties", "macro", "package"],
)
def test_a_project_that_dbt_cannot_read_is_built_as_it_was_and_the_file_is_named(
    learner: Marts, file: str, text: str, cause: str
) -> None:
    # The project as it is has been built.
    learner.transform()
    learner.load()
    with learner.broken(file, "", text), pytest.raises(TerminalError, match=cause) as caught:
        learner.transform()
    assert f"the project is built as it was before {file} changed" in str(caught.value)
    assert learner.stale_dates() == 0
    learner.assert_correct()
    assert learner.transform().dates == {}


NEW_RULE = "SQL, seeds or vars have changed, which earlier rows do not follow"


def test_a_changed_seed_or_variable_is_named_with_the_marts_whose_earlier_rows_do_not_follow_it(
    learner: Marts,
) -> None:
    names = "(select count(*) from {{ ref('my_codes') }} where name = '{{ var('my_name', 'one') }}')"
    column = "        avg_departure_delay_minutes,\n"
    changed = f"        avg_departure_delay_minutes + {names} as avg_departure_delay_minutes,\n"
    with (
        learner.broken("seeds/my_codes.csv", "", "code,name\n1,one\n"),
        learner.broken(DAILY, column, changed),
    ):
        learner.transform()
        assert not learner.transform().notes
        with learner.broken("seeds/my_codes.csv", "1,one", "1,eins"):
            assert f"{NEW_RULE}: agg_carrier_daily" in learner.transform().text()
        learner.transform()
        with learner.broken("dbt_project.yml", "models:\n", "vars: {my_name: two}\n\nmodels:\n"):
            assert f"{NEW_RULE}: agg_carrier_daily" in learner.transform().text()
    learner.by_hand("build", "--selector", "transform", "--full-refresh")
    assert not learner.transform().notes


def test_changed_sql_holds_for_new_dates_and_the_message_says_how_to_have_history_too(learner: Marts) -> None:
    delays = "select max(avg_departure_delay_minutes) from marts.agg_carrier_daily where flight_date = "
    old, new = (
        "        avg_departure_delay_minutes,\n",
        "        avg_departure_delay_minutes + 10000 as avg_departure_delay_minutes,\n",
    )
    # The next date's flights have events of this one.
    learner.load()
    learner.transform()
    with learner.broken(DAILY, old, new):
        before = values(learner, f"{delays} '2013-01-01'")
        day = learner.load()
        text = learner.transform().text()
        assert f"{NEW_RULE}: agg_carrier_daily. Hint: `make backfill" in text
        assert values(learner, f"{delays} '2013-01-01'") == before
        assert values(learner, f"{delays} '{day}'") > [9000]
        # What the hint says.
        stale = "insert into ops.stale_dates (stream, event_date) values ('flights.departed', '2013-01-01')"
        learner.execute(stale, "loader")
        assert NEW_RULE not in learner.transform().text()
        assert values(learner, f"{delays} '2013-01-01'") > [9000]
    learner.by_hand("build", "--selector", "transform", "--full-refresh")
    assert not learner.transform().notes


def test_another_configuration_of_a_table_rebuilds_it(learner: Marts) -> None:
    indexes = "select indexdef from pg_indexes where schemaname = 'marts' and tablename = 'agg_carrier_daily'"
    config = "indexes=[{'columns': ['flight_date', 'carrier'], 'unique': true}"
    with learner.broken(DAILY, config, config + ", {'columns': ['flights']}"):
        assert "agg_carrier_daily" in learner.transform().text()
        assert any("(flights)" in str(index) for index in values(learner, indexes))
    learner.transform()
    assert not any("(flights)" in str(index) for index in values(learner, indexes))


def test_a_model_anywhere_is_published_and_its_mart_is_dropped_after_it_was_removed(learner: Marts) -> None:
    (learner.settings.dbt / "models" / "routes").mkdir()
    with ExitStack() as models:
        models.enter_context(learner.broken("models/my_routes.sql", "", ROUTES))
        view = "{{ config(materialized='view') }} select origin from {{ ref('my_routes') }}"
        models.enter_context(learner.broken("models/routes/my_origins.sql", "", view))
        models.enter_context(learner.broken("models/intermediate/my_work.sql", "", "select 1 as x"))
        assert learner.transform().dates == {}
        rows = "select * from marts.my_routes"
        found = f"({rows} except {ROUTES_QUERY}) union all ({ROUTES_QUERY} except {rows})"
        assert learner.query(found).empty
        assert len(learner.query("select * from marts.my_origins")) == len(
            learner.query("select * from marts.my_routes")
        )
        assert values(learner, "select to_regclass('marts.my_work')") == [None]
    dbt = Dbt(learner.settings, learner.lines.append)
    contracts = learner.raw.contracts
    # `make up` finds them before a transform does, and the transform names them each time.
    assert find_removed(learner.settings, contracts, dbt=dbt) == ["my_origins", "my_routes"]
    for _ in range(2):
        assert "no model builds marts.my_origins, marts.my_routes any more" in learner.transform().text()
    assert read_removed(learner.settings) == ["my_origins", "my_routes"]
    learner.execute("create view marts.my_copy as select * from marts.my_origins")
    errors = drop_marts(learner.settings, ["my_origins", "my_routes"], dbt=dbt)
    assert errors.keys() == {"my_origins"}
    assert "view marts.my_copy depends on" in str(errors["my_origins"])
    learner.execute("drop view marts.my_copy")
    assert drop_marts(learner.settings, find_removed(learner.settings, contracts, dbt=dbt), dbt=dbt) == {}
    remaining = "select relname from pg_class where relname in ('my_origins', 'my_routes')"
    assert values(learner, remaining) == []
    assert not learner.transform().notes


def test_a_model_that_moves_to_intermediate_keeps_its_table_in_staging(learner: Marts) -> None:
    with learner.broken("models/my_routes.sql", "", ROUTES):
        learner.transform()
    with learner.broken("models/intermediate/my_routes.sql", "", ROUTES):
        dbt = Dbt(learner.settings, learner.lines.append)
        names = find_removed(learner.settings, learner.raw.contracts, dbt=dbt)
        assert names == ["my_routes"]
        assert drop_marts(learner.settings, names, dbt=dbt) == {}
        assert values(learner, "select to_regclass('marts.my_routes')") == [None]
        assert not learner.query("select * from staging.my_routes", "transformer").empty


SNAPSHOT = """
snapshots:
  - name: my_codes_history
    relation: ref('my_codes')
    config:
      schema: snapshots
      unique_key: code
      strategy: check
      check_cols: [name]
"""


def test_a_seed_its_tests_and_a_snapshot_of_it_are_built_and_the_history_survives(learner: Marts) -> None:
    (learner.settings.dbt / "snapshots").mkdir(exist_ok=True)
    history = (
        "select name, dbt_valid_to is null as valid from marts.my_codes_history where code = 1 order by dbt_valid_from"
    )
    with ExitStack() as files:
        files.enter_context(learner.broken("seeds/my_codes.csv", "", "code,name\n1,one\n2,two\n"))
        files.enter_context(learner.broken("snapshots/my_codes_history.yml", "", SNAPSHOT))
        tests = "seeds:\n  - name: my_codes\n    columns:\n      - name: code\n        data_tests: [unique, not_null]\n"
        files.enter_context(learner.broken("seeds/my_codes.yml", "", tests))
        files.enter_context(
            learner.broken("tests/my_test.sql", "", "select * from {{ ref('my_codes_history') }} where code > 2")
        )
        files.enter_context(learner.broken("models/my_names.sql", "", "select name from {{ ref('my_codes_history') }}"))
        learner.transform()
        assert any("PASS unique_my_codes_code" in line for line in learner.lines)
        assert any("PASS my_test" in line for line in learner.lines)
        assert learner.query(history).values.tolist() == [["one", True]]
        with learner.broken("seeds/my_codes.csv", "1,one", "1,eins"):
            learner.transform()
            assert learner.query(history).values.tolist() == [["one", False], ["eins", True]]
            learner.by_hand("build", "--selector", "transform", "--full-refresh")
            assert learner.query(history).values.tolist() == [["one", False], ["eins", True]]
            assert len(learner.query("select * from marts.my_names")) == 3
            # Other columns of the file.
            with learner.broken("seeds/my_codes.csv", "code,name\n1,eins\n2,two", "code,name,more\n1,eins,x\n2,two,y"):
                learner.transform()
                assert values(
                    learner, "select more from marts.my_codes_history where code = 1 and dbt_valid_to is null"
                )
        # A failed test holds back the snapshot's copy, and not its history.
        with (
            learner.broken("seeds/my_codes.csv", "2,two\n", "2,two\n3,three\n"),
            pytest.raises(TerminalError, match="my_test"),
        ):
            learner.transform()
        assert "marts.my_codes_history was not published: my_test failed" in learner.lines
        assert 3 not in values(learner, "select code from marts.my_codes_history")


def test_an_incremental_model_as_in_dbts_documentation_is_rebuilt_if_its_columns_change(learner: Marts) -> None:
    text = (
        "{{ config(materialized='incremental', unique_key='flight_id') }}\n"
        "select flight_id, scheduled_at from {{ ref('fct_flights') }}\n"
        "{% if is_incremental() %}\n"
        "where scheduled_at >= (select coalesce(max(scheduled_at), '1900-01-01') from {{ this }})\n"
        "{% endif %}\n"
    )
    with learner.broken("models/my_increments.sql", "", text):
        learner.transform()
        learner.load()
        learner.transform()
        with learner.broken("models/my_increments.sql", "scheduled_at from", "scheduled_at, carrier from"):
            assert "my_increments" in learner.transform().text()
            assert values(learner, "select count(*) from marts.my_increments where carrier is null") == [0]
            flights = values(learner, "select count(*) from marts.fct_flights")
            assert values(learner, "select count(*) from marts.my_increments") == flights


def test_a_package_is_installed_by_the_transform_and_its_models_are_published(learner: Marts) -> None:
    folder = learner.settings.dbt / "packages" / "mine"
    (folder / "models").mkdir(parents=True)
    (folder / "dbt_project.yml").write_text('name: mine\nversion: "1.0"\n')
    (folder / "models" / "my_packaged.sql").write_text("select 1 as x")
    with learner.broken("packages.yml", "", "packages:\n  - local: packages/mine\n"):
        learner.transform()
        assert values(learner, "select x from marts.my_packaged") == [1]
    assert "marts.my_packaged" in learner.transform().text()
