"""The quarantine in a browser: counts equal to SQL's, examples, commands, streams without a contract."""

import json
import re

from playwright.sync_api import Route, expect

from dashboard.quarantine import family_and_column
from tests.fixtures.browser import (
    REFRESH_MS,
    Open,
    number,
    scalar,
)
from tests.fixtures.platform import Running


def test_quarantine_shows_invalid_records_by_family_and_column(open_page: Open, platform: Running) -> None:
    page = open_page("/quarantine")
    assert number(page.locator("#records").inner_text()) == scalar(platform, "select count(*) from raw.quarantine")
    page.get_by_label("Stream", exact=True).select_option("flights.departed")
    page.get_by_role("button", name="Show").click()
    expect(page).to_have_url(re.compile(r"stream=flights.departed$"))
    kinds = platform.query(
        "select kind, count(*) as n from ops.quarantine where stream = 'flights.departed' group by 1"
    )
    expected: dict[tuple[str, str], int] = {}
    for kind, count in kinds.itertuples(index=False):
        group = family_and_column(kind)
        expected[group] = expected.get(group, 0) + count
    details = page.locator("#reasons details")
    shown = {
        (str(row.get_attribute("data-family")), str(row.get_attribute("data-column"))): number(
            row.locator(".records").inner_text()
        )
        for row in details.all()
    }
    assert shown == expected
    assert len(shown) > 3
    missing = details.filter(has_text="required").first
    missing.locator("summary").click()
    expect(missing.locator("pre").first).to_be_visible()
    assert json.loads(missing.locator("pre").first.inner_text())
    expect(missing).to_contain_text("make quarantine A='replay --stream flights.departed --reason")
    expect(missing).to_contain_text("make quarantine A='discard --stream flights.departed --kind")


def test_a_stream_whose_contract_is_gone_is_said_to_be_so(open_page: Open, platform: Running) -> None:
    contract = platform.settings.contracts / "flights.arrived.yaml"
    text = contract.read_text()
    contract.unlink()
    try:
        page = open_page("/quarantine?stream=flights.arrived")
        notice = page.locator("#reasons .fault")
        expect(notice).to_contain_text("flights.arrived has no contract any more", timeout=REFRESH_MS)
        expect(notice).to_contain_text("make drop-stream NAME=flights.arrived")
        page.locator("#reasons summary").first.click()
        expect(page.locator("#reasons details").first).not_to_contain_text("A='replay")
        expect(open_page("/pipeline").locator('tr[data-stream="flights.arrived"]')).to_contain_text("contract removed")
    finally:
        contract.write_text(text)
    # A part of the page that has the focus is not replaced.
    page.get_by_label("Stream", exact=True).focus()
    expect(page.locator("#reasons .fault")).to_have_count(0, timeout=2 * REFRESH_MS)


def test_what_is_open_stays_open_when_its_count_changes(open_page: Open) -> None:
    page = open_page("/quarantine")
    details = page.locator("#reasons details").first
    closed = page.locator("#reasons details").nth(1)
    details.locator("summary").click()
    before = details.locator(".records").inner_text()
    # A part of the page that has the focus is not replaced.
    page.get_by_label("Stream", exact=True).focus()

    def one_more(route: Route) -> None:
        response = route.fetch()
        body = response.text().replace(f'<span class="records">{before}<', '<span class="records">987,654<')
        route.fulfill(response=response, body=body)

    page.route("**/quarantine*", one_more)
    expect(details.locator(".records")).to_have_text("987,654", timeout=REFRESH_MS)
    expect(details).to_have_attribute("open", "")
    expect(closed).not_to_have_attribute("open", "")
