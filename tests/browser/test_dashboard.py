"""The dashboard in a browser: it is accessible, follows the platform, and names servers that are down."""

import os
import re
import signal
from contextlib import suppress

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from sluice.errors import SluiceError
from sluice.warehouse import connect
from tests.fixtures.browser import PATHS, REFRESH_MS, Open
from tests.fixtures.platform import Running


@pytest.mark.parametrize("path", [*PATHS, "/no-such-page"])
@pytest.mark.parametrize(
    "query",
    [
        "from=%00&to=%ff&carrier=%&date=9999-12-31&stream=%F0%28",
        "date=10000-01-01&from=0001-01-01&to=9999-12-31",
        "date=<script>alert(1)</script>&stream='--&carrier=%22%3E%3Cimg%20src=x%20onerror=alert(1)%3E",
    ],
)
def test_a_hostile_query_string_breaks_no_page(open_page: Open, path: str, query: str) -> None:
    page = open_page(f"{path}?{query}", expected_errors=path == "/no-such-page")
    expect(page.locator("main h1")).to_have_count(1)
    assert page.locator("main img, main script").count() == 0
    assert "Traceback" not in page.content()


def test_an_alert_appears_and_clears_without_a_page_reload(open_page: Open, platform: Running) -> None:
    page, first = open_page("/pipeline"), open_page("/overview")
    page.evaluate("window.unloaded = false")
    try:
        with connect(platform.settings, "loader") as loader:
            loader.execute(
                "insert into ops.alerts (kind, subject, message) values ('test', 'nothing', 'Raised by a test.')"
            )
        for shown in (page, first):
            raised = shown.locator("#alerts li.bad", has_text="Raised by a test.")
            expect(raised).to_be_visible(timeout=REFRESH_MS)
        expect(first.locator("#problems")).to_contain_text(re.compile("alerts? (is|are) open", re.IGNORECASE))
        with connect(platform.settings, "loader") as loader:
            loader.execute("update ops.alerts set cleared_at = now() where kind = 'test'")
        cleared = page.locator("#alerts li.good", has_text="Raised by a test.")
        expect(cleared).to_be_visible(timeout=REFRESH_MS)
        expect(first.locator("#alerts li", has_text="Raised by a test.")).to_have_count(0, timeout=REFRESH_MS)
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
            expect(pages[0].get_by_role("main").get_by_role("alert")).to_contain_text("Retrying automatically")
        else:
            expect(pages[0].locator("#data-flow").get_by_text("Kafka is down")).to_be_visible(timeout=REFRESH_MS)
    finally:
        platform.services().start([service])
    for page in pages:
        expect(page.locator("#servers li", has_text=name)).to_have_class("good", timeout=2 * REFRESH_MS)
        expect(page.get_by_text("Retrying automatically")).to_have_count(0)
    expect(pages[0].locator('tr[data-stream="flights.departed"]')).to_be_visible()
    expect(pages[1].locator("#by-carrier")).to_contain_text("United")
    # Its content was replaced; the tables are sorted as before.
    header = pages[1].locator("#by-carrier thead th", has_text="Cancelled")
    header.get_by_role("button").click()
    expect(header).to_have_attribute("aria-sort", "descending")
    expect(header.locator("button")).to_have_count(1)
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
        open_page("/overview", dark=dark).evaluate("getComputedStyle(document.body).backgroundColor")
        for dark in (False, True)
    ]
    assert backgrounds[0] != backgrounds[1]


def test_the_dashboard_is_operable_with_the_keyboard(open_page: Open) -> None:
    page = open_page("/overview")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.get_by_role("link", name="Quarantine", exact=True).focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Quarantine")
    page.get_by_role("button", name="Pause").focus()
    page.keyboard.press("Space")
    resume = page.get_by_role("button", name="Resume")
    expect(resume).to_be_focused()
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()


def test_a_page_that_does_not_exist_leads_back(open_page: Open) -> None:
    page = open_page("/no-such-page", expected_errors=True)
    expect(page.get_by_role("heading", level=1)).to_have_text("Page not found")
    page.get_by_role("link", name="The overview").click()
    expect(page.locator("#headline")).to_be_visible()


def test_numbers_do_not_wrap_and_rows_are_low_on_a_phone(open_page: Open) -> None:
    for path in PATHS:
        page = open_page(path, width=390)
        wrapped = page.evaluate(
            """() => [...document.querySelectorAll("td.number, .figure-count, .tile dd:not(.note), .records")]
                .filter(cell => {
                    const range = document.createRange();
                    range.selectNodeContents(cell);
                    const tops = [...range.getClientRects()].map(rect => rect.bottom);
                    return Math.max(...tops) - Math.min(...tops) > 14;
                }).map(cell => cell.textContent)"""
        )
        assert wrapped == [], path
    page = open_page("/", width=390)
    heights = [box["height"] for node in page.locator(".node").all() if (box := node.bounding_box())]
    assert len(heights) == 10
    # A line, and a second one with lag and age.
    assert max(heights) <= 70


def test_the_first_view_is_quick(open_page: Open) -> None:
    page = open_page("/")
    page.reload()
    page.wait_for_load_state()
    milliseconds = page.evaluate("performance.getEntriesByType('navigation')[0].duration")
    # 300 ms on a quiet machine; tests share theirs.
    assert milliseconds < 3_000


def test_the_dashboard_has_at_most_64_mib(open_page: Open, platform: Running) -> None:
    for path in PATHS:
        open_page(path)
    (dashboard,) = (service for service in platform.services().status() if service.name == "dashboard")
    assert 0 < dashboard.memory <= 64 << 20
