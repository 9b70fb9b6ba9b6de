"""The dashboard in a browser: its numbers are SQL's, anybody can read it, and it says who is away."""

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
from tests.e2e.conftest import Running

Open = Callable[..., Page]
ADDRESSES = [f"/{name}" for name in PAGES]
SECONDS_MS = 1_000
A_REFRESH = 30 * SECONDS_MS
"""How long a page may take to show what has changed: a look of the server's, then one of the browser's."""


def number(text: str | None) -> int:
    """The first whole number of a text: 12,345 items is 12345."""
    found = re.search(r"\d[\d,]*", text or "")
    assert found, text
    return int(found[0].replace(",", ""))


def one(platform: Running, statement: str) -> int:
    return int(platform.query(statement).iloc[0, 0])


def table(page: Page, selector: str) -> pd.DataFrame:
    """A table's texts."""
    heads = page.locator(f"{selector} thead th").all_inner_texts()
    rows = page.locator(f"{selector} tbody tr").all()
    return pd.DataFrame([row.locator("th, td").all_inner_texts() for row in rows], columns=range(len(heads)))


def test_now_shows_live_view_and_marts_as_sql_does(open_page: Open, platform: Running) -> None:
    page = open_page("/")
    found = table(page, "#compared table")
    assert len(found) > 5
    live = platform.query("select * from live.airport_hours").set_index(["hour", "origin"])
    marts = platform.query(
        "select date_trunc('hour', departed_at, 'UTC') as hour, origin, count(*) as n from marts.fct_flights"
        " where departed_at is not null group by 1, 2"
    ).set_index(["hour", "origin"])
    for row in found.itertuples(index=False):
        key = (pd.Timestamp(row[0], tz="UTC"), row[1])
        expected = live.loc[key]
        assert (int(row[2]), int(row[6])) == (expected["departures"], expected["cancellations"])
        assert int(row[3]) == (marts.loc[key, "n"] if key in marts.index else 0)
        assert row[8].startswith("equal") == (row[2:8:2] == row[3:8:2])
    hours = one(
        platform,
        "select count(*) from live.airport_hours"
        " where hour >= (select max(hour) - interval '7 days' from live.flights)",
    )
    assert page.locator("#equal").inner_text() == f"{hours} of {hours}"
    equal, closed = (number(text) for text in page.locator("#unequal").inner_text().split(" of "))
    assert equal == 0
    assert closed > 0


def test_flights_shows_the_marts(open_page: Open, platform: Running) -> None:
    page = open_page("/flights?from=2013-01-01&to=2013-01-31")
    sums = platform.query(
        "select sum(flights), sum(departed), sum(cancelled) from marts.agg_carrier_daily"
        " where flight_date between '2013-01-01' and '2013-01-31'"
    ).iloc[0]
    shown = [number(page.locator(f"#{name}").inner_text()) for name in ("flights", "departed", "cancelled")]
    assert shown == [int(each) for each in sums]
    carriers = platform.query(
        "select name, sum(flights) as flights, sum(cancelled) as cancelled,"
        " round(100.0 * sum(on_time_share * arrived)::numeric / nullif(sum(arrived), 0), 1) as share"
        " from marts.agg_carrier_daily join marts.dim_carrier using (carrier)"
        " where flight_date between '2013-01-01' and '2013-01-31' group by 1"
    ).set_index("name")
    found = table(page, "#by-carrier")
    assert len(found) == len(carriers) > 10
    for name, flights, cancelled, share, *_ in found.itertuples(index=False):
        row = carriers.loc[name]
        assert (number(flights), number(cancelled)) == (row["flights"], row["cancelled"])
        assert float(share.split()[0]) == pytest.approx(float(row["share"]), abs=0.051)
    day = platform.query(
        "select round(100 * sum(on_time_share * arrived) / sum(arrived)) from marts.agg_carrier_daily"
        " where flight_date = '2013-01-16'"
    ).iloc[0, 0]
    assert page.locator(".month td", has=page.get_by_text("16", exact=True)).inner_text().split()[1] == f"{day:.0f}"
    assert number(page.locator("#by-origin tbody tr", has_text="JFK").locator("td").first.inner_text()) == one(
        platform,
        "select count(*) from marts.fct_flights where origin = 'JFK'"
        " and flight_date between '2013-01-01' and '2013-01-31'",
    )


def test_filters_work_and_stay_in_the_address(open_page: Open, platform: Running) -> None:
    page = open_page("/flights")
    page.get_by_label("From", exact=True).fill("2013-01-05")
    page.get_by_label("To", exact=True).fill("2013-01-09")
    page.get_by_label("Airline", exact=True).select_option("UA")
    page.get_by_label("From airport", exact=True).select_option("EWR")
    page.get_by_role("button", name="Show").click()
    expect(page).to_have_url(re.compile(r"from=2013-01-05&to=2013-01-09&carrier=UA&origin=EWR$"))
    flights = one(
        platform,
        "select count(*) from marts.fct_flights where flight_date between '2013-01-05' and '2013-01-09'"
        " and carrier = 'UA' and origin = 'EWR'",
    )
    assert number(page.locator("#flights").inner_text()) == flights > 0
    again = open_page(page.url)
    assert number(again.locator("#flights").inner_text()) == flights
    assert again.get_by_label("Airline", exact=True).input_value() == "UA"
    assert again.get_by_label("From", exact=True).input_value() == "2013-01-05"


def test_a_wrong_address_is_said(open_page: Open) -> None:
    page = open_page("/flights?from=soon&carrier=%3Cscript%3E")
    expect(page.get_by_role("alert")).to_contain_text("'soon' is no date")
    expect(page.get_by_role("alert")).to_contain_text("there is no '<script>'")


def test_pipeline_counts_what_kafka_and_the_warehouse_hold(open_page: Open, platform: Running) -> None:
    page = open_page("/pipeline")
    ends: dict[str, int] = {}
    for each in kafka_ranges(platform.settings, ["flights.departed", "flights.arrived", "weather.observed"]):
        ends[each.stream] = ends.get(each.stream, 0) + each.end
    for stream, end in ends.items():
        texts = page.locator(f'tr[data-stream="{stream}"] td').all_inner_texts()
        raw = one(platform, f"select count(*) from raw.{stream.replace('.', '_')}")
        kept = one(platform, f"select count(*) from raw.quarantine where stream = '{stream}'")
        assert [number(text) for text in texts[:5]] == [end, end, end, raw, kept]
    assert number(page.locator("#marts").inner_text()) == one(platform, "select count(*) from marts.fct_flights")
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
def test_of_airflow_the_reader_sees_its_runs_alone(platform: Running, query: LiteralString) -> None:
    with connect(platform.settings, "reader", "airflow") as airflow, pytest.raises(InsufficientPrivilege):
        airflow.execute(query)


def test_quarantine_shows_what_and_why(open_page: Open, platform: Running) -> None:
    page = open_page("/quarantine")
    assert number(page.locator("#records").inner_text()) == one(platform, "select count(*) from raw.quarantine")
    page.get_by_label("Stream", exact=True).select_option("flights.departed")
    page.get_by_role("button", name="Show").click()
    expect(page).to_have_url(re.compile(r"stream=flights.departed$"))
    kinds = platform.query(
        "select kind, count(*) as n from ops.quarantine where stream = 'flights.departed' group by 1"
    ).set_index("kind")["n"]
    found = table(page, "#what table")
    assert {row[1]: number(row[2]) for row in found.itertuples(index=False)} == kinds.to_dict()
    details = page.locator("details")
    assert details.count() == len(kinds) > 0
    details.first.locator("summary").click()
    expect(details.first.locator("pre").first).to_be_visible()


def test_an_alert_is_shown_without_loading_the_page_anew_and_its_end_too(open_page: Open, platform: Running) -> None:
    page = open_page("/now")
    page.evaluate("window.unloaded = false")
    try:
        with connect(platform.settings, "loader") as loader:
            loader.execute(
                "insert into ops.alerts (kind, subject, message) values ('test', 'nothing', 'A test says so.')"
            )
        expect(page.locator("#alerts li.bad")).to_contain_text("A test says so.", timeout=A_REFRESH)
        with connect(platform.settings, "loader") as loader:
            loader.execute("update ops.alerts set cleared_at = now() where kind = 'test'")
        expect(page.locator("#alerts li.good")).to_contain_text("A test says so.", timeout=A_REFRESH)
    finally:
        with connect(platform.settings, "loader") as loader:
            loader.execute("delete from ops.alerts where kind = 'test'")
    assert page.evaluate("window.unloaded") is False


@pytest.mark.parametrize("service", ["postgres", "kafka"])
def test_a_killed_server_is_shown_and_its_return_too(open_page: Open, platform: Running, service: str) -> None:
    name = service.capitalize()
    pages = [open_page("/pipeline"), open_page("/flights?carrier=UA")]
    for page in pages:
        expect(page.locator("#servers li", has_text=name)).to_have_class("good")
    supervisor = platform.services().supervisor
    os.kill(supervisor.state(service)["pid"], signal.SIGKILL)
    # The supervisor starts it again at once, unless it is told in time that it is not to.
    while supervisor.state(service)["statename"] != "STOPPED":
        with suppress(SluiceError):
            supervisor.stop(service)
    try:
        for page in pages:
            expect(page.locator("#servers li", has_text=name)).to_have_class("bad", timeout=A_REFRESH)
            assert "Traceback" not in page.content()
        if service == "postgres":
            expect(pages[0].get_by_role("alert")).to_contain_text("comes back by itself")
        else:
            expect(pages[0].get_by_text("Kafka does not answer")).to_be_visible(timeout=A_REFRESH)
    finally:
        platform.services().start([service])
    for page in pages:
        expect(page.locator("#servers li", has_text=name)).to_have_class("good", timeout=2 * A_REFRESH)
        expect(page.get_by_text("comes back by itself")).to_have_count(0)
    expect(pages[0].locator('tr[data-stream="flights.departed"]')).to_be_visible()
    expect(pages[1].locator("#by-carrier")).to_contain_text("United")
    assert "carrier=UA" in pages[1].url


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390], ids=["laptop", "phone"])
@pytest.mark.parametrize("address", ADDRESSES)
def test_anybody_can_read_it(open_page: Open, address: str, width: int, dark: bool) -> None:
    page = open_page(address, dark=dark, width=width)
    for each in page.locator("details").all():
        each.locator("summary").click()
    found = Axe().run(page).response["violations"]
    assert [(each["id"], each["nodes"][0]["html"]) for each in found if each["impact"] in ("serious", "critical")] == []
    # The page itself never scrolls sideways; wide tables do, each in its own frame.
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_the_models_and_their_lineage_are_shown_and_nobody_else_is_asked(browser: Browser, platform: Running) -> None:
    page = browser.new_page(base_url=f"http://127.0.0.1:{platform.settings.dashboard_port}")
    faults: list[str] = []
    reached: list[str] = []
    # Its console is not empty: the page asks for pictures before it knows their names, and is refused.
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("requestfinished", lambda request: reached.append(request.url))
    page.goto("/dbt#!/model/model.sluice.fct_flights")
    expect(page.get_by_role("heading", name="fct_flights")).to_be_visible()
    expect(page.get_by_text("Two-letter code of the airline").first).to_be_visible()
    page.locator(".launcher-btn a").click()
    expect(page.get_by_text("Lineage Graph", exact=True)).to_be_visible()
    page.close()
    assert faults == []
    assert reached == [f"http://127.0.0.1:{platform.settings.dashboard_port}/dbt"]


def test_light_and_dark_differ(open_page: Open) -> None:
    grounds = [
        open_page("/now", dark=dark).evaluate("getComputedStyle(document.body).backgroundColor")
        for dark in (False, True)
    ]
    assert grounds[0] != grounds[1]


def test_the_keyboard_is_enough(open_page: Open) -> None:
    page = open_page("/now")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.get_by_role("link", name="Quarantine").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Quarantine")
    pause = page.get_by_role("button", name="Pause updates")
    pause.focus()
    page.keyboard.press("Space")
    expect(pause).to_have_attribute("aria-pressed", "true")
