"""The page about flights in a browser: figures equal to SQL's, filters in the URL, sortable tables."""

import re

import pandas as pd
import pytest
from playwright.sync_api import expect

from tests.fixtures.browser import Open, chart, number, scalar, table
from tests.fixtures.platform import Running


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
    daily = chart(page, "#daily")
    at = daily["times"].index(int(pd.Timestamp("2013-01-16", tz="UTC").timestamp()))
    assert [series["values"][at] for series in daily["series"]] == [
        scalar(platform, f"select sum({name}) from marts.agg_carrier_daily where flight_date = '2013-01-16'")
        for name in ("departed", "cancelled")
    ]
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
    notice = page.get_by_role("main").get_by_role("alert")
    expect(notice).to_contain_text("'soon' is not a date")
    expect(notice).to_contain_text("'<script>' does not exist")


def test_flights_opens_on_the_newest_days_with_flights(open_page: Open, platform: Running) -> None:
    page = open_page("/flights")
    newest = platform.query("select max(flight_date)::text from marts.agg_carrier_daily").iloc[0, 0]
    assert page.get_by_label("To", exact=True).input_value() == newest
    first = pd.Timestamp(page.get_by_label("From", exact=True).input_value())
    assert pd.Timestamp(newest) - first < pd.Timedelta(days=30)
    assert number(page.locator("#flights").inner_text()) > 0
    expect(page.get_by_role("button", name="Pause")).to_have_count(0)


def test_tables_are_sorted_by_a_click_and_by_the_keyboard(open_page: Open) -> None:
    page = open_page("/flights?from=2013-01-01&to=2013-01-31")
    column = "#by-carrier tbody tr td:nth-of-type(2)"
    header = page.locator("#by-carrier thead th", has_text="Cancelled")
    header.get_by_role("button").click()
    expect(header).to_have_attribute("aria-sort", "descending")
    cancelled = [number(text) for text in page.locator(column).all_inner_texts()]
    assert cancelled == sorted(cancelled, reverse=True)
    header.get_by_role("button").focus()
    page.keyboard.press("Enter")
    expect(header).to_have_attribute("aria-sort", "ascending")
    cancelled = [number(text) for text in page.locator(column).all_inner_texts()]
    assert cancelled == sorted(cancelled)
    name = page.locator("#by-carrier thead th", has_text="Airline")
    name.get_by_role("button").click()
    names = page.locator("#by-carrier tbody th").all_inner_texts()
    assert names == sorted(names, key=str.casefold)


def test_an_empty_range_says_what_to_do(open_page: Open, platform: Running) -> None:
    page = open_page("/flights?from=2013-01-05&to=2013-01-05&carrier=HA&origin=LGA")
    expect(page.locator("#empty")).to_contain_text("choose all airlines and airports")
    page.locator("#empty").get_by_role("link", name="all airlines and airports").click()
    flights = scalar(platform, "select count(*) from marts.fct_flights where flight_date = '2013-01-05'")
    assert number(page.locator("#flights").inner_text()) == flights > 0
    later = open_page("/flights?from=2013-12-20&to=2014-01-05")
    expect(later.locator("#empty")).to_contain_text("No flights match from 2013-12-20 to 2014-01-05")
    expect(later.locator("#empty code")).to_have_text("make replay FROM=2013-12-20 TO=2013-12-31")
    assert later.get_by_label("To", exact=True).input_value() == "2014-01-05"
