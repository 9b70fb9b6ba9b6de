"""The dashboard in a browser: its figures equal SQL's, it is accessible, and it names servers that are down."""

import os
import re
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import LiteralString

import pandas as pd
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect
from psycopg.errors import InsufficientPrivilege

from dashboard.pages import PAGES
from sluice.errors import SluiceError
from sluice.kafka.topics import kafka_ranges
from sluice.warehouse import connect
from tests.fixtures.platform import Running

Open = Callable[..., Page]
PATHS = [f"/{name}" for name in PAGES]
SECONDS_MS = 1_000
REFRESH_MS = 30 * SECONDS_MS
"""How long a page may take to show a change: one poll by the server, then one refresh by the browser."""


def number(text: str | None) -> int:
    """Returns the first whole number in a text: 12345 for "12,345 items"."""
    match = re.search(r"\d[\d,]*", text or "")
    assert match, text
    return int(match[0].replace(",", ""))


def scalar(platform: Running, statement: str) -> int:
    """Returns the single number that a query selects."""
    return int(platform.query(statement).iloc[0, 0])


def table(page: Page, selector: str) -> pd.DataFrame:
    """Returns the texts of a table's cells, one row per table row."""
    headers = page.locator(f"{selector} thead th").all_inner_texts()
    rows = page.locator(f"{selector} tbody tr").all()
    return pd.DataFrame([row.locator("th, td").all_inner_texts() for row in rows], columns=range(len(headers)))


def test_now_shows_the_live_view_and_the_marts_as_sql_does(open_page: Open, platform: Running) -> None:
    page = open_page("/")
    comparisons = table(page, "#comparisons table")
    assert len(comparisons) > 5
    live = platform.query("select * from live.airport_hours").set_index(["hour", "origin"])
    marts = platform.query(
        "select date_trunc('hour', departed_at, 'UTC') as hour, origin, count(*) as n from marts.fct_flights"
        " where departed_at is not null group by 1, 2"
    ).set_index(["hour", "origin"])
    for row in comparisons.itertuples(index=False):
        key = (pd.Timestamp(row[0], tz="UTC"), row[1])
        expected = live.loc[key]
        assert (int(row[2]), int(row[6])) == (expected["departures"], expected["cancellations"])
        assert int(row[3]) == (marts.loc[key, "n"] if key in marts.index else 0)
        assert row[8].startswith("matches") == (row[2:8:2] == row[3:8:2])
    hours = scalar(
        platform,
        "select count(*) from live.airport_hours"
        " where hour >= (select max(hour) - interval '7 days' from live.flights)",
    )
    assert page.locator("#matching").inner_text() == f"{hours} of {hours}"
    summary = re.fullmatch(r"All ([\d,]+) closed hours match\.", page.locator("#summary").inner_text())
    assert summary
    assert number(summary[1]) > 0


def test_flights_shows_the_marts(open_page: Open, platform: Running) -> None:
    page = open_page("/flights?from=2013-01-01&to=2013-01-31")
    sums = platform.query(
        "select sum(flights), sum(departed), sum(cancelled) from marts.agg_carrier_daily"
        " where flight_date between '2013-01-01' and '2013-01-31'"
    ).iloc[0]
    shown = [number(page.locator(f"#{name}").inner_text()) for name in ("flights", "departed", "cancelled")]
    assert shown == [int(value) for value in sums]
    carriers = platform.query(
        "select name, sum(flights) as flights, sum(cancelled) as cancelled,"
        " round(100.0 * sum(on_time_share * arrived)::numeric / nullif(sum(arrived), 0), 1) as share"
        " from marts.agg_carrier_daily join marts.dim_carrier using (carrier)"
        " where flight_date between '2013-01-01' and '2013-01-31' group by 1"
    ).set_index("name")
    rows = table(page, "#by-carrier")
    assert len(rows) == len(carriers) > 10
    for name, flights, cancelled, share, *_ in rows.itertuples(index=False):
        row = carriers.loc[name]
        assert (number(flights), number(cancelled)) == (row["flights"], row["cancelled"])
        assert float(share.split()[0]) == pytest.approx(float(row["share"]), abs=0.051)
    day = platform.query(
        "select round(100 * sum(on_time_share * arrived) / sum(arrived)) from marts.agg_carrier_daily"
        " where flight_date = '2013-01-16'"
    ).iloc[0, 0]
    assert page.locator(".month td", has=page.get_by_text("16", exact=True)).inner_text().split()[1] == f"{day:.0f}"
    assert number(page.locator("#by-origin tbody tr", has_text="JFK").locator("td").first.inner_text()) == scalar(
        platform,
        "select count(*) from marts.fct_flights where origin = 'JFK'"
        " and flight_date between '2013-01-01' and '2013-01-31'",
    )


def test_filters_work_and_are_kept_in_the_url(open_page: Open, platform: Running) -> None:
    page = open_page("/flights")
    page.get_by_label("From", exact=True).fill("2013-01-05")
    page.get_by_label("To", exact=True).fill("2013-01-09")
    page.get_by_label("Airline", exact=True).select_option("UA")
    page.get_by_label("Origin airport", exact=True).select_option("EWR")
    page.get_by_role("button", name="Show").click()
    expect(page).to_have_url(re.compile(r"from=2013-01-05&to=2013-01-09&carrier=UA&origin=EWR$"))
    flights = scalar(
        platform,
        "select count(*) from marts.fct_flights where flight_date between '2013-01-05' and '2013-01-09'"
        " and carrier = 'UA' and origin = 'EWR'",
    )
    assert number(page.locator("#flights").inner_text()) == flights > 0
    reopened = open_page(page.url)
    assert number(reopened.locator("#flights").inner_text()) == flights
    assert reopened.get_by_label("Airline", exact=True).input_value() == "UA"
    assert reopened.get_by_label("From", exact=True).input_value() == "2013-01-05"


def test_an_invalid_url_shows_notices(open_page: Open) -> None:
    page = open_page("/flights?from=soon&carrier=%3Cscript%3E")
    expect(page.get_by_role("alert")).to_contain_text("'soon' is not a date")
    expect(page.get_by_role("alert")).to_contain_text("'<script>' does not exist")


def test_pipeline_shows_the_counts_of_kafka_and_the_warehouse(open_page: Open, platform: Running) -> None:
    page = open_page("/pipeline")
    kafka_records: dict[str, int] = {}
    streams = ("flights.departed", "flights.arrived", "weather.observed")
    for partition in kafka_ranges(platform.settings, {stream: stream for stream in streams}):
        kafka_records[partition.stream] = kafka_records.get(partition.stream, 0) + partition.end
    for stream, records in kafka_records.items():
        texts = page.locator(f'tr[data-stream="{stream}"] td').all_inner_texts()
        raw = scalar(platform, f"select count(*) from raw.{stream.replace('.', '_')}")
        quarantined = scalar(platform, f"select count(*) from raw.quarantine where stream = '{stream}'")
        assert [number(text) for text in texts[:5]] == [records, records, records, raw, quarantined]
    marts = "select count(*) from information_schema.tables where table_schema = 'marts'"
    assert number(page.locator("#marts").inner_text()) == scalar(platform, marts)
    day = platform.query(
        "select sum(rows)::int as rows, sum(late)::int as late, bool_and(closed) as closed"
        " from ops.date_status where event_date = '2013-01-25'"
    ).iloc[0]
    page.goto("/pipeline?until=2013-01-25")
    row = page.locator('tr[data-date="2013-01-25"] td').all_inner_texts()
    assert row[0].startswith("closed" if day["closed"] else "open")
    assert [number(row[1]), number(row[2])] == [day["rows"], day["late"]]
    page.get_by_role("link", name="Earlier dates").click()
    assert page.locator("#dates tbody th").first.inner_text() < "2013-01-13"
    runs = page.locator("#runs tbody th a")
    assert runs.count() > 3
    assert f":{platform.settings.airflow_port}/dags/" in str(runs.first.get_attribute("href"))


@pytest.mark.parametrize("query", ["select conf from dag_run", "select * from connection", "delete from dag_run"])
def test_the_reader_sees_only_the_runs_of_airflow(platform: Running, query: LiteralString) -> None:
    with connect(platform.settings, "reader", "airflow") as airflow, pytest.raises(InsufficientPrivilege):
        airflow.execute(query)


def test_quarantine_shows_invalid_records_by_reason(open_page: Open, platform: Running) -> None:
    page = open_page("/quarantine")
    assert number(page.locator("#records").inner_text()) == scalar(platform, "select count(*) from raw.quarantine")
    page.get_by_label("Stream", exact=True).select_option("flights.departed")
    page.get_by_role("button", name="Show").click()
    expect(page).to_have_url(re.compile(r"stream=flights.departed$"))
    kinds = platform.query(
        "select kind, count(*) as n from ops.quarantine where stream = 'flights.departed' group by 1"
    ).set_index("kind")["n"]
    rows = table(page, "#reasons table")
    assert {row[1]: number(row[2]) for row in rows.itertuples(index=False)} == kinds.to_dict()
    details = page.locator("details")
    assert details.count() == len(kinds) > 0
    details.first.locator("summary").click()
    expect(details.first.locator("pre").first).to_be_visible()


def test_an_alert_appears_and_clears_without_a_page_reload(open_page: Open, platform: Running) -> None:
    page = open_page("/now")
    page.evaluate("window.unloaded = false")
    try:
        with connect(platform.settings, "loader") as loader:
            loader.execute(
                "insert into ops.alerts (kind, subject, message) values ('test', 'nothing', 'Raised by a test.')"
            )
        expect(page.locator("#alerts li.bad")).to_contain_text("Raised by a test.", timeout=REFRESH_MS)
        with connect(platform.settings, "loader") as loader:
            loader.execute("update ops.alerts set cleared_at = now() where kind = 'test'")
        expect(page.locator("#alerts li.good")).to_contain_text("Raised by a test.", timeout=REFRESH_MS)
    finally:
        with connect(platform.settings, "loader") as loader:
            loader.execute("delete from ops.alerts where kind = 'test'")
    assert page.evaluate("window.unloaded") is False


@pytest.mark.parametrize("service", ["postgres", "kafka"])
def test_a_killed_server_is_shown_as_down_and_then_as_up(open_page: Open, platform: Running, service: str) -> None:
    name = service.capitalize()
    pages = [open_page("/pipeline"), open_page("/flights?carrier=UA")]
    for page in pages:
        expect(page.locator("#servers li", has_text=name)).to_have_class("good")
    supervisor = platform.services().supervisor
    os.kill(supervisor.state(service)["pid"], signal.SIGKILL)
    # The supervisor restarts it immediately, unless it is stopped first.
    while supervisor.state(service)["statename"] != "STOPPED":
        with suppress(SluiceError):
            supervisor.stop(service)
    try:
        for page in pages:
            expect(page.locator("#servers li", has_text=name)).to_have_class("bad", timeout=REFRESH_MS)
            assert "Traceback" not in page.content()
        if service == "postgres":
            expect(pages[0].get_by_role("alert")).to_contain_text("Retrying automatically")
        else:
            expect(pages[0].locator("#data-flow").get_by_text("Kafka is down")).to_be_visible(timeout=REFRESH_MS)
    finally:
        platform.services().start([service])
    for page in pages:
        expect(page.locator("#servers li", has_text=name)).to_have_class("good", timeout=2 * REFRESH_MS)
        expect(page.get_by_text("Retrying automatically")).to_have_count(0)
    expect(pages[0].locator('tr[data-stream="flights.departed"]')).to_be_visible()
    expect(pages[1].locator("#by-carrier")).to_contain_text("United")
    assert "carrier=UA" in pages[1].url


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390], ids=["laptop", "phone"])
@pytest.mark.parametrize("path", PATHS)
def test_pages_are_accessible(open_page: Open, path: str, width: int, dark: bool) -> None:
    page = open_page(path, dark=dark, width=width)
    for details in page.locator("details").all():
        details.locator("summary").click()
    violations = [
        (violation["id"], violation["nodes"][0]["html"])
        for violation in Axe().run(page).response["violations"]
        if violation["impact"] in ("serious", "critical")
    ]
    assert violations == []
    # The page itself never scrolls sideways. Wide tables do, inside their own frames.
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_the_models_and_their_lineage_are_shown_without_other_requests(browser: Browser, platform: Running) -> None:
    page = browser.new_page(base_url=f"http://127.0.0.1:{platform.settings.dashboard_port}")
    errors: list[str] = []
    requested: list[str] = []
    # The console is not checked: the page requests images before their URLs are known, and these requests are blocked.
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("requestfinished", lambda request: requested.append(request.url))
    page.goto("/dbt#!/model/model.sluice.fct_flights")
    expect(page.get_by_role("heading", name="fct_flights")).to_be_visible()
    expect(page.get_by_text("Two-letter code of the airline").first).to_be_visible()
    page.locator(".launcher-btn a").click()
    expect(page.get_by_text("Lineage Graph", exact=True)).to_be_visible()
    page.close()
    assert errors == []
    assert requested == [f"http://127.0.0.1:{platform.settings.dashboard_port}/dbt"]


def test_light_and_dark_mode_differ(open_page: Open) -> None:
    backgrounds = [
        open_page("/now", dark=dark).evaluate("getComputedStyle(document.body).backgroundColor")
        for dark in (False, True)
    ]
    assert backgrounds[0] != backgrounds[1]


def test_the_dashboard_is_operable_with_the_keyboard(open_page: Open) -> None:
    page = open_page("/now")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.get_by_role("link", name="Quarantine").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Quarantine")
    pause = page.get_by_role("button", name="Pause updates")
    pause.focus()
    page.keyboard.press("Space")
    expect(pause).to_have_attribute("aria-pressed", "true")
