"""The dashboard's pages and the commands that print rows, on a warehouse that holds whatever a table can hold."""

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import date
from itertools import product
from pathlib import Path

import psycopg
import pytest
from starlette.testclient import TestClient

from dashboard import queries
from dashboard.app import create_app
from dashboard.pages import PAGES
from flights.live_view import schema as live_view
from sluice.backfill.history import save_proof
from sluice.backfill.proof import Proof
from sluice.backfill.request import Request
from sluice.contracts import load_contracts
from sluice.settings import ROOT, Settings
from sluice.warehouse import connect, schema
from sluice.warehouse.values import load_odd_times_as_text
from tests.fixtures.hostile_text import TEXTS, assert_harmless
from tests.fixtures.servers import Stream
from tests.fixtures.waiting import wait

MAX_PAGE_BYTES = 1_000_000
DATES = (
    "-infinity",
    "4713-01-01 BC",
    "0001-01-01",
    "2013-01-05",
    "9999-12-30",
    "9999-12-31",
    "10000-01-01",
    "infinity",
)
MARTS = """
    create table marts.fct_flights as
        select 'f' || n as flight_id, d.flight_date, t.text || n %% 2000 as carrier, n %% 90000 as flight_number,
            t.text as tail_number, left(t.text, 40) || n %% 3000 as origin, t.text || n %% 1000 as dest,
            d.flight_date::timestamptz as scheduled_at, d.flight_date::timestamptz as departed_at,
            2147483647 as departure_delay_minutes, d.flight_date::timestamptz as landed_at,
            -2147483648 as arrival_delay_minutes, 'NaN'::numeric as air_time_minutes, 1 as distance_miles,
            (array['arrived', 'cancelled', 'departed'])[n %% 3 + 1] as status
        from generate_series(1, 6000) as n
        join unnest(%(dates)s::date[]) with ordinality d (flight_date, number) on d.number = n %% 8 + 1
        join unnest(%(texts)s::text[]) with ordinality t (text, number) on t.number = n %% 6 + 1;
    create table marts.agg_carrier_daily as
        select flight_date, carrier, count(*) as flights from marts.fct_flights group by 1, 2;
    create table marts.agg_airport_hourly as
        select origin, scheduled_at as hour, count(*) as flights, 0::bigint as cancelled,
            'NaN'::float8 as avg_departure_delay_minutes, 'infinity'::float8 as wind_speed_mph,
            'NaN'::float8 as precipitation_in, null::float8 as visibility_miles
        from marts.fct_flights group by 1, 2;
    create table marts.dim_carrier as select distinct carrier, carrier as name from marts.fct_flights;
    create table marts.dim_airport as select distinct origin as airport, origin as name from marts.fct_flights;
    grant select on all tables in schema marts to sluice_reader;
"""
REST = """
    insert into ops.streams select left(t.text, 1000) || n, '1 hour' from unnest(%(texts)s::text[]) t (text),
        generate_series(1, 100) n;
    insert into ops.loads
        select s.stream, md5(s.stream), 0, o.first, o.next, 0, 0, d.date, now()
        from (select stream, row_number() over () as number from ops.streams) s
        join unnest(%(dates)s::timestamptz[]) with ordinality d (date, number) on d.number = s.number %% 8 + 1,
            (values (null, 0), (0, 9)) o (first, next);
    insert into ops.dates (stream, event_date, rows, quarantined, late, after_close, version, loaded_at, built_at)
        select s.stream, d.date, 9e15, 0, 0, 0, 1, 'infinity', '-infinity'
        from (select stream from ops.streams limit 5) s, unnest(%(dates)s::date[]) d (date);
    insert into ops.alerts (kind, subject, message, raised_at, dag_id, run_id)
        select t.text, 'subject ' || n, t.text, '-infinity', t.text, t.text from unnest(%(texts)s::text[]) t (text),
            generate_series(1, 40) n;
    insert into raw.quarantine
        select left(t.text, 1000) || n %% 100, 't', n, n, d.date, d.date, '\\x00ff1b'::bytea,
            case n %% 3 when 0 then convert_to(t.text, 'UTF8') when 1 then '\\x00ff1b5b326a'::bytea end,
            t.text || n %% 500 || ': given twice', 'infinity'
        from generate_series(1, 3000) n
        join unnest(%(dates)s::timestamptz[]) with ordinality d (date, number) on d.number = n %% 8 + 1
        join unnest(%(texts)s::text[]) with ordinality t (text, number) on t.number = n %% 6 + 1;
    insert into ops.backfills (first_date, last_date, streams, what, verified_at, holds, proof)
        select d.date, d.date, array[t.text], t.text, 'infinity', false, t.text
        from unnest(%(dates)s::date[]) d (date), unnest(%(texts)s::text[]) t (text);
    insert into raw.quarantine values ('long', 't', 0, 0, '2013-01-01', null, null,
        convert_to(repeat('v', 1000000), 'UTF8'), repeat('r', 1000000), now());
    insert into live.flights
        select 'f' || n, left(t.text, 40) || n %% 1000, d.date, true, 2147483647, 't', 0, n
        from generate_series(1, 3000) n
        join unnest(%(dates)s::timestamptz[]) with ordinality d (date, number) on d.number = n %% 8 + 1
        join unnest(%(texts)s::text[]) with ordinality t (text, number) on t.number = n %% 6 + 1;
    update live.heartbeat set seen_at = 'infinity';
"""
VALUES = (
    "",
    "0001-01-01",
    "9999-12-31",
    "9999-11-30",
    "10000-01-01",
    "-0001-01-01",
    "2013-02-30",
    "２０１３-０１-０１",
    "2013-W01-1",
    "infinity",
    "9" * 400,
    "-1",
    "NaN",
    "%00",
    "\x00",
    "%F0%28%8C%28",
    "' or 1=1; drop table marts.fct_flights; --",
    "<script>alert(1)</script>",
    "\u202e\x1b[2J",
    "no.such",
    "x" * 50_000,
)
NAMES = ("from", "to", "carrier", "origin", "date", "stream", "page", "limit", "from[]", "", "x" * 1_000)


@pytest.fixture(scope="module")
def hostile(servers: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A warehouse of its own on the tests' server, in which every table holds what nobody expects there."""
    home = tmp_path_factory.mktemp("home")
    settings = servers.model_copy(update={"warehouse": "hostile", "contracts": ROOT / "contracts", "home": home})
    schema.provision(settings, {})
    live_view.provision(settings)
    with connect(settings, "postgres") as warehouse:
        # The long one is in quarantine only: in every table it would make gigabytes.
        values = {"dates": list(DATES), "texts": list(TEXTS[:-1])}
        # Postgres takes no parameters for what creates a table: psycopg quotes them.
        cursor = psycopg.ClientCursor(warehouse)
        for statements in (MARTS, REST):
            cursor.execute(statements.encode(), values)
    return settings


@pytest.fixture(scope="module")
def client(hostile: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(hostile), base_url="http://127.0.0.1:8090") as client:
        yield client


def test_a_record_waits_for_a_decision_until_it_is_discarded(hostile: Settings) -> None:
    log = (
        'insert into ops.quarantine_log (stream, topic_id, partition, "offset", event_date, reason, action, note,'
        " done_by) select stream, topic_id, partition, \"offset\", event_date, 'r', %s, '', 'tests'"
        ' from raw.quarantine where "offset" < 5'
    )
    with connect(hostile, "postgres") as warehouse, connect(hostile, "reader") as reader:
        load_odd_times_as_text(reader)
        waiting = []
        # The last decision counts: a record that came back after a reload waits again.
        for action in (None, "discarded", "reloaded"):
            if action:
                warehouse.execute(log.encode(), (action,))
                warehouse.commit()
            waiting.append(queries.open_quarantine(reader, 3_001).waiting)
            reader.rollback()
        assert waiting == [3_001, 2_996, 3_001]
        assert queries.open_quarantine(reader, queries.MAX_COUNTED + 1).waiting is None
        warehouse.execute("truncate ops.quarantine_log")


def problem(page: str) -> str:
    """Returns the error that a page shows in place of its figures."""
    match = re.search(r"<p>(.*)</p>\s*<p>Retrying automatically", page)
    return match[1] if match else ""


def sluice(settings: Settings, environment_file: Path, *arguments: str) -> str:
    """Runs a command on the hostile warehouse; returns what it printed."""
    environment = {**os.environ, "SLUICE_ENV_FILE": str(environment_file), "SLUICE_WAREHOUSE": settings.warehouse}
    done = subprocess.run(
        [sys.executable, "-m", "cli", *arguments],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert_harmless(done.stdout)
    return done.stdout


@pytest.mark.essential
@pytest.mark.parametrize("page", PAGES)
def test_every_page_shows_any_value_within_bounds(client: TestClient, page: str) -> None:
    response = client.get(f"/{page}")
    assert (response.status_code, problem(response.text)) == (200, "")
    assert len(response.content) < MAX_PAGE_BYTES
    assert_harmless(response.text)
    assert "<script>alert" not in response.text
    assert "not shown." in response.text


@pytest.mark.parametrize(
    ("page", "sentence"),
    [
        ("overview", "Older alerts are not shown."),
        ("flights", "airlines are not shown."),
        ("flights?from=2013-01-01&to=9999-12-31", "months before those of the calendar are not shown."),
        ("flights", "flights before year 1 or after year 9999 are not shown."),
        ("pipeline", "more streams are not shown."),
        ("pipeline", "Older alerts are not shown."),
        ("pipeline", "more dates are not shown."),
        ("runs", "Older backfills are not shown."),
        ("quarantine", "rarer reasons, and their records, are not shown."),
    ],
)
def test_a_page_says_what_it_leaves_out(client: TestClient, page: str, sentence: str) -> None:
    assert sentence in client.get(f"/{page}").text


@pytest.mark.parametrize("path", [*(f"/{page}" for page in PAGES), "/", "/dbt", "/health", "/static/style.css"])
def test_no_query_string_is_a_server_error_or_a_huge_page(client: TestClient, path: str) -> None:
    queries = [{name: value} for name, value in product(NAMES, VALUES)] if path == "/flights" else []
    # The client sends at most 65,536 characters.
    queries += [dict.fromkeys(NAMES if len(value) < 1_000 else NAMES[:1], value) for value in VALUES]
    queries += [{"from": first, "to": last} for first, last in product(VALUES[:6], VALUES[:6])]
    strings = [
        "a=b&" * 10_000,
        "from=2013-01-01&from=soon&to=1&to=2",
        "from=%00&to=%ff&carrier=%",
        "&&&===;;;",
        "?" * 500,
    ]
    with ThreadPoolExecutor(4) as pool:
        responses = [
            *pool.map(lambda query: client.get(path, params=query), queries),
            *pool.map(lambda text: client.get(f"{path}?{text}"), strings),
        ]
    assert {response.status_code for response in responses} <= {200}
    assert max(len(response.content) for response in responses) < MAX_PAGE_BYTES
    assert {problem(response.text) for response in responses} == {""}


@pytest.mark.parametrize(
    "path", ["/%00", "/flights/../../etc/passwd", "/static/%2e%2e/app.py", "/static/%00", "/x" * 9_000]
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS"])
def test_no_path_is_a_server_error(client: TestClient, method: str, path: str) -> None:
    assert 400 <= client.request(method, path).status_code < 500


def test_pages_recover_by_themselves_after_a_restart_of_postgres(hostile: Settings, client: TestClient) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: client.get("/pipeline"), range(8)))
    assert 1 <= len(end_readers(hostile)) <= 8
    for _ in range(2):
        assert problem(client.get("/pipeline").text) == ""


def test_a_connection_that_hangs_delays_its_page_and_no_other(hostile: Settings, client: TestClient) -> None:
    end_readers(hostile)
    client.get("/pipeline")
    stopped = readers(hostile)
    assert stopped
    try:
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        assert "has not answered within 3 s" in problem(client.get("/pipeline").text)
        assert problem(client.get("/pipeline").text) == ""
    finally:
        for pid in stopped:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def test_an_alert_links_to_its_run(hostile: Settings, client: TestClient) -> None:
    with connect(hostile, "postgres") as warehouse:
        warehouse.execute(
            "insert into ops.alerts (kind, subject, message, dag_id, run_id)"
            " values ('failed run', 'transform', 'It failed.', 'transform', 'manual__2026-11-27T04:08:19+00:00')"
        )
    url = f"{hostile.pages.airflow}/dags/transform/runs/manual__2026-11-27T04%3A08%3A19%2B00%3A00"
    for page in ("overview", "pipeline"):
        assert f'<a href="{url}">run of transform</a>' in client.get(f"/{page}").text


def test_the_proof_of_a_backfill_is_kept(hostile: Settings, client: TestClient) -> None:
    request = Request(date(2013, 1, 5), date(2013, 1, 6), ("flights.departed",), "raw")
    save_proof(hostile, request, Proof([], faults=["2013-01-06: not reprocessed"]))
    page = client.get("/runs").text
    assert "2013-01-05 to 2013-01-06: raw of flights.departed" in page
    assert "2013-01-06: not reprocessed" in page


def test_a_platform_without_flights_has_complete_pages(servers: Settings, tmp_path: Path) -> None:
    text = (ROOT / "contracts" / "weather.observed.yaml").read_text()
    (tmp_path / "quakes.recorded.yaml").write_text(text.replace("stream: weather.observed", "stream: quakes.recorded"))
    settings = servers.model_copy(update={"warehouse": "quakes", "contracts": tmp_path, "home": tmp_path})
    schema.provision(settings, load_contracts(tmp_path))
    with connect(settings, "postgres") as warehouse:
        warehouse.execute(
            "insert into ops.dates (stream, event_date, rows, quarantined, late, after_close, version, loaded_at)"
            " values ('quakes.recorded', '2026-01-05', 7, 0, 0, 0, 1, now())"
        )
    with TestClient(create_app(settings), base_url="http://127.0.0.1:8090") as client:
        wait("the first poll", lambda: 'href="/flights"' not in client.get("/overview").text)
        for page in PAGES:
            assert (client.get(f"/{page}").status_code) == 200
        overview = client.get("/overview").text
        assert "Events of 1 stream (quakes.recorded)" in overview
        assert 'id="comparisons"' not in overview
        assert "flights" not in re.sub(r"<footer>.*", "", overview, flags=re.DOTALL).lower()
        assert 'data-date="2026-01-05"' in client.get("/pipeline").text
        for page in ("overview", "pipeline", "quarantine", "runs"):
            assert problem(client.get(f"/{page}").text) == ""


def readers(settings: Settings) -> list[int]:
    """Returns the processes of the dashboard's connections to the warehouse."""
    with connect(settings, "postgres") as postgres:
        rows = postgres.execute(
            "select pid from pg_stat_activity where application_name = 'sluice-reader' and datname = current_database()"
        ).fetchall()
    return [int(str(pid)) for (pid,) in rows]


def end_readers(settings: Settings) -> list[int]:
    """Ends the dashboard's connections, as a restart of Postgres does; returns their processes."""
    pids = readers(settings)
    with connect(settings, "postgres") as postgres:
        postgres.execute("select pg_terminate_backend(pid) from unnest(%s::int[]) pid", (pids,))
    wait("the connections to end", lambda: not readers(settings))
    return pids


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (f"select unnest(array{list(DATES)}::timestamptz[])::date", list(DATES)),
        (
            f"select time between '1000-01-01' and '9000-01-01' from unnest(array{list(DATES)}::timestamptz[]) as time",
            list("ffftffff"),
        ),
        ("select unnest(array['NaN', 'Infinity', '1e-400']::numeric[]::text[])", None),
        ("select unnest(array['NaN', 'Infinity', '-0']::float8[])", ["NaN", "Infinity", "-0"]),
        ("select '24:00'::time, 'infinity'::interval, '-178000000 years'::interval", None),
        (
            "select '9999999999 seconds 5 months'::interval, '{infinity}'::date[], '[-infinity,infinity]'::daterange",
            None,
        ),
        ("""select '{"a": "\\ud800", "b": 1e999}'::json""", ["""{"a": "\\ud800", "b": 1e999}"""]),
        ("select repeat('[', 5000)::text, repeat('9', 100000)::numeric", None),
        ("select '\\x001bff'::bytea, '', null, e'\\u0001'", None),
        ("""select e'a\\nb\\x1b[2J\\u202e' as "\x1b[31m\n\"""", [r"a\nb\x1b[2J\u202e"]),
    ],
)
def test_sql_prints_any_value(
    hostile: Settings, environment_file: Path, query: str, expected: list[str] | None
) -> None:
    rows = list(csv.reader(io.StringIO(sluice(hostile, environment_file, "sql", query))))
    assert len(rows) > 1
    if expected is not None:
        assert [row[0] for row in rows[1:]] == expected


def test_sql_prints_the_marts_and_the_quarantine(hostile: Settings, environment_file: Path) -> None:
    for table, count in (("marts.fct_flights", 6_000), ("raw.quarantine", 3_001), ("ops.date_status", 40)):
        output = sluice(hostile, environment_file, "sql", f"select * from {table}")
        assert output.count("\n") == count + 1


def test_quarantine_lists_and_shows_any_record(hostile: Settings, environment_file: Path) -> None:
    listed = sluice(hostile, environment_file, "quarantine", "list").splitlines()
    assert listed[-1] == "3,001 records in quarantine"
    assert max(map(len, listed)) < 5_000
    shown = sluice(hostile, environment_file, "quarantine", "show", "-n", "9999").splitlines()
    records = [json.loads(line) for line in shown]
    assert len(records) == 3_001
    assert {record["event_date"] for record in records} >= {"infinity", "10000-01-01", "2013-01-05", "4713-01-01 BC"}
    assert sum(record["value"] == "v" * 1_000_000 for record in records) == 1


def test_peek_prints_any_record(make_stream: Callable[..., Stream]) -> None:
    stream = make_stream(partitions=1)
    values = [
        b'{"\\ud800": "\\udfff", "a": "\\u0000"}',
        b'{"a": 1, "a": ' + b"9" * 5_000 + b"}",
        b"\xff\x00\x1b[2J",
        "\x1b[2J\n\u202e\x00".encode(),
        b"[" * 100_000,
        b"v" * 900_000,
        b"",
        None,
    ]
    stream.send(values)
    stream.land()
    done = subprocess.run(
        [sys.executable, "-m", "cli", "peek", stream.name, "-n", "20"],
        env=stream.environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert_harmless(done.stdout)
    lines = done.stdout.splitlines()
    assert '"value": {"a": 1, "a": 9999' in lines[1]
    lines[1] = "{}"
    shown = [json.loads(line).get("value") for line in lines]
    assert shown[0] == {"\ud800": "\udfff", "a": "\x00"}
    assert shown[2] == {"base64": "/wAbWzJK"}
    assert shown[3:] == [value if value is None else value.decode() for value in values[3:]]
