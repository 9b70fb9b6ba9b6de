"""Readers see all of a transform or nothing, whichever process fails or is killed. With real dbt and Postgres."""

import json
import os
import re
import signal
import subprocess
import sys
from datetime import date

import pytest

from sluice.errors import TerminalError, TransientError
from sluice.settings import ROOT
from sluice.transform import document
from sluice.transform.dbt import Dbt
from tests.fixtures.marts import TABLES, Marts, built, marts

__all__ = ["built", "marts"]


@pytest.mark.essential
def test_a_failed_model_costs_its_own_mart_and_a_retry_builds_only_the_rest(marts: Marts) -> None:
    marts.assert_correct()
    marts.load()
    before, stale_dates = marts.contents(), marts.stale_dates()
    with (
        marts.broken("models/marts/agg_carrier_daily.sql", "count(*) as flights", "count(*) / 0 as flights"),
        pytest.raises(TerminalError, match=r"agg_carrier_daily: .*division by zero"),
    ):
        marts.transform()
    # The dates that the model needs are kept for it; what is not built from it is published.
    after = marts.contents()
    assert after["agg_carrier_daily"] == before["agg_carrier_daily"]
    assert after["fct_flights"] != before["fct_flights"]
    assert after["agg_airport_hourly"] != before["agg_airport_hourly"]
    assert marts.stale_dates() == stale_dates
    report = marts.transform(resume=True)
    assert report.resumed
    assert _models(marts) == ["agg_carrier_daily"]
    marts.assert_correct()
    assert marts.contents() != before
    # A full parse happens once: changed files are parsed alone, and no variables change.
    log = (marts.settings.home / "dbt" / "logs" / "dbt.log").read_text()
    assert log.count("Starting full parse") == 1


def test_a_failed_test_leaves_the_marts_that_it_reads_unchanged_and_a_retry_runs_it_again(marts: Marts) -> None:
    marts.load()
    before = marts.contents()
    query = "select 1 from {{ ref('agg_airport_hourly') }}"
    with marts.broken("tests/never.sql", "", query), pytest.raises(TerminalError, match="never"):
        marts.transform()
    after = marts.contents()
    assert after["agg_airport_hourly"] == before["agg_airport_hourly"]
    assert after["agg_carrier_daily"] != before["agg_carrier_daily"]
    with marts.broken("tests/never.sql", "", f"{query} where false"):
        assert marts.transform(resume=True).resumed
        assert _models(marts) == []
    marts.assert_correct()


def test_a_mart_that_cannot_be_published_is_named_and_the_others_are_published(marts: Marts) -> None:
    marts.load()
    before = marts.contents()
    marts.execute("create function staging.fail() returns trigger language plpgsql as $$begin raise 'fails'; end$$")
    marts.execute("create trigger fail before insert on marts.agg_carrier_daily execute function staging.fail()")
    with pytest.raises(TerminalError, match=r"marts\.agg_carrier_daily was not published: fails; every other mart was"):
        marts.transform()
    after = marts.contents()
    assert after["agg_carrier_daily"] == before["agg_carrier_daily"]
    assert all(after[mart] != before[mart] for mart in ("fct_flights", "agg_airport_hourly"))
    assert marts.stale_dates() == 0
    # Without a new event, too, the next transform publishes what is missing, also of the dates that were built before.
    marts.execute("drop function staging.fail cascade")
    marts.execute("update marts.agg_carrier_daily set cancelled = 99 where flight_date = '2013-01-01'")
    assert marts.transform().nodes
    marts.assert_correct()
    assert not marts.transform().nodes


def test_a_killed_dbt_leaves_the_marts_unchanged_and_the_next_transform_is_correct(marts: Marts) -> None:
    marts.load()
    before = marts.contents()
    moment = "START sql by_key model staging.agg_carrier_daily"
    marts.on_line = lambda line, dbt: os.kill(dbt._process.pid, signal.SIGKILL) if moment in line else None  # type: ignore[union-attr]
    with pytest.raises(TransientError, match="signal 9"):
        marts.transform()
    assert marts.contents() == before
    assert marts.stale_dates()
    marts.on_line = lambda line, dbt: None
    marts.transform(resume=True)
    marts.assert_correct()


SCRIPT = """
from sluice.contracts import load_contracts
from sluice.settings import load_settings
from sluice.transform import transform
from sluice.transform.dbt import Dbt
settings = load_settings()
dbt = Dbt(settings, print)
transform(settings, load_contracts(settings.contracts), dbt=dbt, run="killed", log_line=print)
"""


def test_a_killed_transform_is_finished_by_its_dbt_process_or_by_the_next_transform(marts: Marts) -> None:
    marts.load()
    environment = {
        **os.environ,
        "SLUICE_HOME": str(marts.settings.home),
        "SLUICE_DBT": str(marts.settings.dbt),
        "SLUICE_WAREHOUSE": marts.settings.warehouse,
        "SLUICE_POSTGRES_PORT": str(marts.settings.postgres_port),
        "SLUICE_TRANSFORMER_PASSWORD": marts.settings.secret("transformer_password"),
    }
    command = [sys.executable, "-uc", SCRIPT]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert any("model staging.fct_flights" in line for line in process.stdout)
    process.kill()
    process.wait()
    marts.transform(run="killed", resume=True)
    marts.assert_correct()


def test_rows_that_are_loaded_during_a_transform_are_built_by_the_next_one(marts: Marts) -> None:
    marts.load()
    loaded: list[date] = []

    def load(line: str, dbt: Dbt) -> None:
        if "START sql by_key model staging.stg_flights_departed" in line and not loaded:
            loaded.append(marts.load())

    marts.on_line = load
    marts.transform()
    assert loaded
    assert marts.stale_dates() > 0
    marts.transform()
    marts.assert_correct()
    assert not marts.transform().nodes


def test_a_dropped_mart_is_recreated_with_grants_and_indexes(marts: Marts) -> None:
    indexes = "select count(*) from pg_indexes where schemaname = 'marts' and tablename = 'agg_carrier_daily'"
    before = marts.query(indexes).iloc[0, 0]
    marts.execute("drop table marts.agg_carrier_daily")
    marts.load()
    marts.transform()
    marts.assert_correct()
    assert marts.query(indexes).iloc[0, 0] == before > 0


def test_a_table_that_was_built_from_scratch_is_published_in_full(marts: Marts) -> None:
    model = "models/marts/agg_carrier_daily.sql"
    with marts.broken(model, "        cancelled,\n        avg", "        cancelled + 0 as cancelled,\n        avg"):
        marts.execute("drop table staging.agg_carrier_daily")
        marts.execute("update marts.agg_carrier_daily set cancelled = 99 where flight_date = '2013-01-01'")
        marts.load()
        marts.transform()
    marts.assert_correct()


def test_a_full_refresh_publishes_a_new_column(marts: Marts) -> None:
    model = "models/marts/agg_carrier_daily.sql"
    with marts.broken(
        model, "        cancelled,\n        avg", "        cancelled,\n        'x' as added,\n        avg"
    ):
        marts.load()
        marts.by_hand("build", "--selector", "transform", "--full-refresh")
        assert marts.query("select distinct added from marts.agg_carrier_daily").iloc[0, 0] == "x"
        assert marts.stale_dates() == 0
    marts.by_hand("build", "--selector", "transform", "--full-refresh")
    marts.assert_correct()


@pytest.mark.essential
def test_dbt_alone_publishes_nothing(marts: Marts) -> None:
    marts.load()
    before, stale_dates = marts.contents(), marts.stale_dates()
    assert stale_dates
    Dbt(marts.settings, marts.lines.append).run("build", "--selector", "transform", "--full-refresh")
    assert (marts.contents(), marts.stale_dates()) == (before, stale_dates)
    marts.transform()
    marts.assert_correct()


@pytest.mark.parametrize("arguments", [("test", "--selector", "transform"), ("run", "--select", "+fct_flights")])
def test_a_partial_command_by_hand_marks_no_date_as_built(marts: Marts, arguments: tuple[str, ...]) -> None:
    marts.load()
    before, stale = marts.contents(), marts.stale_dates()
    assert stale
    marts.by_hand(*arguments)
    assert (marts.contents(), marts.stale_dates()) == (before, stale)
    with pytest.raises(TerminalError, match="nothing to retry"):
        marts.by_hand("retry")
    marts.transform()
    marts.assert_correct()


def test_an_earlier_event_on_another_date_replaces_the_one_that_was_kept(marts: Marts) -> None:
    day = marts.load()
    marts.transform()
    kept = marts.query("select event_id, _event_date, _offset from staging.stg_weather_observed limit 1", "transformer")
    # The same event under another date, with a lower offset: as if its topic had been read in another order.
    marts.execute(
        "insert into raw.weather_observed select (jsonb_populate_record(w, jsonb_build_object("
        f"'_event_date', date '{day}' - 1, '_offset', -1))).* from raw.weather_observed w"
        f" where event_id = '{kept['event_id'].iloc[0]}' and _offset = {kept['_offset'].iloc[0]}",
        "loader",
    )
    marts.execute(
        f"insert into ops.stale_dates (stream, event_date) values ('weather.observed', date '{day}' - 1)", "loader"
    )
    marts.transform()
    found = f"select _offset from staging.stg_weather_observed where event_id = '{kept['event_id'].iloc[0]}'"
    assert marts.query(found, "transformer")["_offset"].tolist() == [-1]
    marts.execute("delete from raw.weather_observed where _offset = -1", "loader")
    marts.by_hand("build", "--selector", "transform", "--full-refresh")
    marts.assert_correct()


def test_a_transform_records_when_a_date_was_built_and_how_many_duplicates_it_left_out(marts: Marts) -> None:
    day = marts.load()
    marts.fill(day)
    marts.fill(day)
    marts.execute(
        "insert into ops.dates (stream, event_date, rows, quarantined, late, after_close, version, loaded_at)"
        f" select 'flights.departed', date '{day}' + n, 0, 0, 0, 0, 1, now() from generate_series(0, 1) as n",
        "loader",
    )
    distinct_events = marts.query(
        f"select count(distinct event_id) from raw.flights_departed where _event_date = '{day}'"
    )
    marts.transform()
    marts.assert_correct()
    statuses = marts.query(f"select duplicates, built_at from ops.dates where event_date = '{day}'")
    # Events of this date that the day before sent were loaded once.
    rows = marts.query(f"select count(*) from raw.flights_departed where _event_date = '{day}'").iloc[0, 0]
    assert statuses["duplicates"].tolist() == [rows - distinct_events.iloc[0, 0]]
    assert statuses["duplicates"].iloc[0] > 0
    assert statuses["built_at"].notna().all()


def test_the_documentation_describes_every_column_that_exists(marts: Marts) -> None:
    dbt = Dbt(marts.settings, marts.lines.append)
    log = dbt.home / "logs" / "dbt.log"
    full_parses = log.read_text().count("Starting full parse")
    document(marts.settings, marts.raw.contracts, dbt=dbt)
    assert not document(marts.settings, marts.raw.contracts, dbt=dbt)
    assert "fct_flights" in marts.settings.dbt_docs.read_text()
    target = dbt.home / "target"
    manifest, catalog = (json.loads((target / name).read_text()) for name in ("manifest.json", "catalog.json"))
    declared = manifest["nodes"] | manifest["sources"]
    tables = catalog["nodes"] | catalog["sources"]
    assert {f"model.sluice.{table}" for table in TABLES} <= tables.keys()
    for name, table in tables.items():
        assert declared[name]["description"], name
        described = {column for column, node in declared[name]["columns"].items() if node["description"]}
        assert described == table["columns"].keys(), name
    # dbt still has its parsed project, and a transform works as before.
    marts.load()
    marts.transform()
    marts.assert_correct()
    assert log.read_text().count("Starting full parse") == full_parses


@pytest.mark.essential
def test_the_unit_tests_of_the_models_pass(marts: Marts) -> None:
    dbt = Dbt(marts.settings, marts.lines.append)
    dbt.run("test", "--selector", "unit")
    assert len(dbt.completed()) > 4


def _models(marts: Marts) -> list[str]:
    """Returns the models that the last transform started, in order."""
    return [match[1] for line in marts.lines if (match := re.search(r"START sql .* model staging\.(\w+)", line))]
