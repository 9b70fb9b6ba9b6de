"""Readers see all of a transform or nothing, whichever process fails or is killed. With real dbt and Postgres."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date

import pandas as pd
import pytest

from producers.flights.timeline import Timeline
from sluice.errors import SluiceError, TerminalError, TransientError
from sluice.settings import ROOT, Settings
from sluice.transform import TransformReport, document, run_dbt, transform
from sluice.transform.dbt import Dbt
from sluice.transform.stale import write_plan
from sluice.warehouse import connect, schema
from tests.fixtures import truth
from tests.fixtures.raw_rows import RawRows

TABLES = ("fct_flights", "agg_carrier_daily", "agg_airport_hourly", "dim_carrier", "dim_airport", "dim_aircraft")
FIRST = date(2013, 1, 1)


@dataclass
class Marts:
    """A warehouse with some dates loaded and built, and a copy of the dbt project that tests can break."""

    settings: Settings
    raw: RawRows
    last: date = FIRST
    lines: list[str] = field(default_factory=list)
    on_line: Callable[[str, Dbt], None] = lambda line, dbt: None

    def load(self) -> date:
        """Loads the flights and weather of the next date: events of two or more UTC dates, some loaded before."""
        self.last = date.fromordinal(self.last.toordinal() + 1)
        self.fill(self.last)
        return self.last

    def fill(self, day: date) -> None:
        self.raw.fill(event for batch in Timeline(self.raw.contracts, day, day).batches() for event in batch)

    def transform(self, run: str = "a run", resume: bool = False) -> TransformReport:
        self.lines.clear()
        dbt = Dbt(self.settings, self._log_line)
        self._dbt = dbt
        return transform(self.settings, self.raw.contracts, dbt=dbt, run=run, log_line=self._log_line, resume=resume)

    def by_hand(self, *arguments: str) -> None:
        """Runs dbt as `make dbt` does."""
        dbt = Dbt(self.settings, self.lines.append)
        run_dbt(self.settings, self.raw.contracts, list(arguments), dbt=dbt, log_line=self.lines.append)

    def _log_line(self, line: str) -> None:
        self.lines.append(line)
        self.on_line(line, self._dbt)

    def query(self, statement: str, role: str = "reader") -> pd.DataFrame:
        with connect(self.settings, role) as connection, connection.cursor() as cursor:  # type: ignore[arg-type]
            cursor.execute(statement.encode())
            return pd.DataFrame(cursor.fetchall(), columns=[column.name for column in cursor.description or ()])

    def execute(self, statement: str, role: str = "transformer") -> None:
        with connect(self.settings, role) as connection:  # type: ignore[arg-type]
            connection.execute(statement.encode())

    def contents(self) -> dict[str, tuple[object, ...]]:
        """Returns what readers see: the row count and a checksum of every mart."""
        checksum = "coalesce(sum(hashtextextended(t::text, 0)::numeric), 0)::text"
        return {
            table: tuple(self.query(f"select count(*), {checksum} from marts.{table} t").iloc[0]) for table in TABLES
        }

    def stale_dates(self) -> int:
        return int(self.query("select count(*) from ops.stale_dates where built_at is null").iloc[0, 0])

    def assert_correct(self) -> None:
        """Asserts that the marts show exactly what was loaded."""
        assert self.stale_dates() == 0
        truth.assert_marts(self.query, FIRST.isoformat(), self.last.isoformat())
        assert self.query("select max(flight_date) from marts.fct_flights").iloc[0, 0] == self.last
        for table in TABLES:
            assert self.query(f"select * from marts.{table} except select * from staging.{table}", "transformer").empty
            assert self.query(f"select * from staging.{table} except select * from marts.{table}", "transformer").empty

    @contextmanager
    def broken(self, file: str, old: str, new: str) -> Iterator[None]:
        path = self.settings.dbt / file
        text = path.read_text() if path.exists() else None
        assert text is None or old in text
        path.write_text(text.replace(old, new) if text is not None else new)
        try:
            yield
        finally:
            if text is None:
                path.unlink()
            else:
                path.write_text(text)


@pytest.fixture(scope="module")
def built(servers: Settings, tmp_path_factory: pytest.TempPathFactory) -> Marts:
    folder = tmp_path_factory.mktemp("marts")
    project = folder / "dbt"
    settings = servers.model_copy(
        update={"warehouse": "marts", "home": folder / "home", "contracts": ROOT / "contracts", "dbt": project}
    )
    shutil.copytree(ROOT / "dbt", project, ignore=shutil.ignore_patterns("target", "logs", "generated"))
    raw = RawRows(settings)
    schema.provision(settings, raw.contracts)
    marts = Marts(settings, raw)
    marts.fill(FIRST)
    marts.transform()
    return marts


@pytest.fixture
def marts(built: Marts) -> Iterator[Marts]:
    built.on_line = lambda line, dbt: None
    yield built
    built.on_line = lambda line, dbt: None


@pytest.mark.essential
def test_a_failed_model_leaves_the_marts_unchanged_and_a_retry_builds_only_the_rest(marts: Marts) -> None:
    marts.assert_correct()
    marts.load()
    before, stale_dates = marts.contents(), marts.stale_dates()
    with (
        marts.broken("models/marts/agg_carrier_daily.sql", "count(*) as flights", "count(*) / 0 as flights"),
        pytest.raises(TerminalError, match=r"agg_carrier_daily: .*division by zero"),
    ):
        marts.transform()
    assert marts.contents() == before
    assert marts.stale_dates() == stale_dates
    report = marts.transform(resume=True)
    assert report.resumed
    assert _models(marts) == ["agg_carrier_daily"]
    marts.assert_correct()
    assert marts.contents() != before
    # A full parse happens once: changed files are parsed alone, and no variables change.
    log = (marts.settings.home / "dbt" / "logs" / "dbt.log").read_text()
    assert log.count("Starting full parse") == 1


def test_a_failed_test_leaves_the_marts_unchanged_and_a_retry_runs_it_again(marts: Marts) -> None:
    marts.load()
    before = marts.contents()
    query = "select 1 from {{ ref('agg_airport_hourly') }}"
    with marts.broken("tests/never.sql", "", query), pytest.raises(TerminalError, match="never"):
        marts.transform()
    assert marts.contents() == before
    with marts.broken("tests/never.sql", "", f"{query} where false"):
        assert marts.transform(resume=True).resumed
        assert _models(marts) == []
    marts.assert_correct()


@pytest.mark.essential
def test_a_failed_publication_publishes_nothing_and_a_retry_publishes(marts: Marts) -> None:
    marts.load()
    before = marts.contents()
    marts.execute("create function staging.fail() returns trigger language plpgsql as $$begin raise 'fails'; end$$")
    # The last of the marts by name, so the others have been written when it fails.
    marts.execute("create trigger fail before insert on marts.fct_flights execute function staging.fail()")
    with pytest.raises(TerminalError, match="on-run-end"):
        marts.transform()
    assert marts.contents() == before
    marts.execute("drop function staging.fail cascade")
    marts.transform(resume=True)
    marts.assert_correct()


@pytest.mark.parametrize("moment", ["START sql by_key model staging.agg_carrier_daily", "START hook"])
def test_a_killed_dbt_leaves_the_marts_unchanged_and_the_next_transform_is_correct(marts: Marts, moment: str) -> None:
    marts.load()
    before = marts.contents()
    marts.on_line = lambda line, dbt: os.kill(dbt._process.pid, signal.SIGKILL) if moment in line else None  # type: ignore[union-attr]
    with pytest.raises(TransientError, match="signal 9"):
        marts.transform()
    # If dbt is killed at its last statement, Postgres may still execute it, but then in full: the dates are marked.
    assert (marts.contents() == before) == (marts.stale_dates() > 0)
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
        with pytest.raises(SluiceError, match="agg_carrier_daily"):
            marts.transform()
        marts.by_hand("build", "--selector", "transform", "--full-refresh")
        assert marts.query("select distinct added from marts.agg_carrier_daily").iloc[0, 0] == "x"
        assert marts.stale_dates() == 0
    marts.by_hand("build", "--selector", "transform", "--full-refresh")
    marts.assert_correct()


@pytest.mark.essential
def test_dbt_publishes_only_the_plan_of_its_own_run(marts: Marts) -> None:
    marts.load()
    before, stale_dates = marts.contents(), marts.stale_dates()
    assert stale_dates
    with connect(marts.settings, "transformer") as connection:
        write_plan(connection, "another run")
    dbt = Dbt(marts.settings, marts.lines.append)
    command = ("build", "--selector", "transform", "--full-refresh")
    with pytest.raises(TerminalError, match="no plan of its own"):
        dbt.run(*command)
    with pytest.raises(TerminalError, match="the plan is missing or belongs to another run"):
        dbt.run(*command, run_name="a run")
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


@pytest.mark.essential
def test_a_mart_without_a_unique_index_is_replaced_by_each_run(marts: Marts) -> None:
    model = "select origin, count(*) as flights from {{ ref('fct_flights') }} group by origin"
    with marts.broken("models/marts/my_routes.sql", "", "{{ config(materialized='table') }}\n" + model):
        for _ in range(2):
            marts.load()
            marts.transform()
            differs = "select origin, flights from {} except select origin, count(*) from marts.fct_flights group by 1"
            assert marts.query(differs.format("marts.my_routes")).empty
            assert marts.query("select count(*) from marts.my_routes").iloc[0, 0] == 3
    marts.execute("drop table marts.my_routes, staging.my_routes")
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
    assert dbt.built() > 4


def _models(marts: Marts) -> list[str]:
    """Returns the models that the last transform started, in order."""
    return [match[1] for line in marts.lines if (match := re.search(r"START sql .* model staging\.(\w+)", line))]
