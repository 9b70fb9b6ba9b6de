"""The dashboard in a browser: its figures equal SQL's, it is accessible, and it names servers that are down."""

import json
import os
import re
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Any, LiteralString

import pandas as pd
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect
from psycopg.errors import InsufficientPrivilege

from dashboard.pages import PAGES
from dashboard.quarantine import family_and_column
from sluice.contracts import load_contracts
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


def chart(page: Page, selector: str) -> dict[str, Any]:
    """Returns the data that a chart was drawn from."""
    data: dict[str, Any] = json.loads(page.locator(f"{selector} .plot").get_attribute("data-chart") or "")
    return data


def pixels(page: Page, selector: str) -> int:
    """Returns how many pixels of a chart's canvas are drawn."""
    return int(
        page.evaluate(
            """selector => {
                const canvas = document.querySelector(`${selector} canvas`);
                const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
                return data.filter((value, index) => index % 4 === 3 && value > 0).length;
            }""",
            selector,
        )
    )


def test_the_first_view_answers_five_questions(open_page: Open, platform: Running) -> None:
    """The ten-second test: what data, how fast, what is behind, is anything wrong, where to click."""
    page = open_page("/")
    first_view = {"x": 0, "y": 0, "width": 1280, "height": 900}
    answers = {
        "#headline": r"2013's flights out of New York, (replayed at about|arriving at|no new ones)",
        "#progress": r"Batch is (up to date|[\d,]+ \w+ (of event time )?behind)",
        "#summary": r"All [\d,]+ closed hours match\.",
        "#verdict": r"All well|\d+ problems?",
        'nav[aria-label="Pages"]': r"Overview\s+Flights\s+Pipeline\s+Quarantine\s+Runs",
        "#flow": r"Producer[\s\S]+Kafka[\s\S]+Sink[\s\S]+Lake[\s\S]+Load[\s\S]+Raw[\s\S]+Transform[\s\S]+Marts",
    }
    for selector, pattern in answers.items():
        element = page.locator(selector)
        expect(element).to_have_text(re.compile(pattern))
        box = element.bounding_box()
        assert box is not None, selector
        assert box["y"] + box["height"] <= first_view["height"], selector


def test_the_flow_shows_the_counts_of_kafka_and_the_warehouse(open_page: Open, platform: Running) -> None:
    page = open_page("/")
    records = sum(partition.end for partition in kafka_ranges(platform.settings, topic_names(platform)))
    counts = {
        node.get_attribute("data-node"): node.locator(".figure-count").inner_text()
        for node in page.locator(".node").all()
    }
    assert number(counts["kafka"]) == number(counts["lake"]) == records > 0
    assert number(counts["raw"]) == scalar(platform, "select sum(rows) from ops.dates")
    assert number(counts["quarantine"]) == scalar(platform, "select count(*) from raw.quarantine")
    assert number(counts["marts"]) == scalar(platform, "select count(*) from pg_tables where schemaname = 'marts'")
    assert number(counts["live"]) == scalar(platform, "select sum(next_offset) from live.partitions")
    for node in page.locator(".node a").all():
        assert node.get_attribute("href")
    page.locator('[data-node="quarantine"] a').click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Quarantine")


def topic_names(platform: Running) -> dict[str, str]:
    return load_contracts(platform.settings.contracts).known_topics()


def test_the_newest_closed_hours_are_those_of_sql(open_page: Open, platform: Running) -> None:
    page = open_page("/")
    comparisons = table(page, "#comparisons table")
    assert len(comparisons) > 5
    live = platform.query("select * from live.airport_hours").set_index(["hour", "origin"])
    marts = platform.query(
        "select date_trunc('hour', departed_at, 'UTC') as hour, origin, count(*) as n from marts.fct_flights"
        " where departed_at is not null group by 1, 2"
    ).set_index(["hour", "origin"])
    closed = platform.query(
        "select event_date::text from ops.date_status where stream in ('flights.departed', 'flights.cancelled')"
        " group by 1 having bool_and(closed and not pending)"
    )
    for row in comparisons.itertuples(index=False):
        key = (pd.Timestamp(row[0], tz="UTC"), row[1])
        expected = live.loc[key]
        assert (number(row[2]), number(row[6])) == (expected["departures"], expected["cancellations"])
        assert number(row[3]) == (marts.loc[key, "n"] if key in marts.index else 0)
        assert row[8].endswith("matches")
        assert row[2:8:2] == row[3:8:2]
        assert row[0][:10] in set(closed["event_date"])


def test_the_chart_draws_the_departures_of_sql(open_page: Open, platform: Running) -> None:
    page = open_page("/")
    shown = chart(page, "#window-1")
    live, batch = (series["values"] for series in shown["series"])
    for step in (0, len(shown["times"]) // 2, len(shown["times"]) - 1):
        where = f"hour = to_timestamp({shown['times'][step]})"
        assert live[step] == scalar(
            platform, f"select coalesce(sum(departures), 0) from live.airport_hours where {where}"
        )
    for step in (0, len(shown["times"]) // 2):
        at = shown["times"][step]
        assert batch[step] == scalar(
            platform,
            f"select count(*) from marts.fct_flights where departed_at >= to_timestamp({at})"
            f" and departed_at < to_timestamp({at + 3_600})",
        )
    assert pixels(page, "#window-1") > 5_000


def test_every_month_that_arrives_has_a_chart(open_page: Open, platform: Running) -> None:
    page = open_page("/")
    headings = page.locator("#live h3").all_inner_texts()
    assert any("January" in heading or "February" in heading for heading in headings)
    assert page.locator("#live .plot canvas").count() == len(headings)


def test_a_chart_shows_its_values_to_the_pointer_and_to_the_keyboard(open_page: Open) -> None:
    page = open_page("/")
    shown = chart(page, "#window-1")
    plot = page.locator("#window-1 .plot")
    tooltip = plot.locator(".tooltip")
    expect(tooltip).to_be_hidden()
    over = plot.locator(".u-over")
    box = over.bounding_box()
    assert box is not None
    over.hover(position={"x": box["width"] * 0.5, "y": box["height"] / 2})
    expect(tooltip).to_be_visible()
    expect(tooltip).to_contain_text("Live view")
    index = int(plot.get_attribute("aria-valuenow") or "")
    assert abs(index - len(shown["times"]) / 2) <= 1
    expect(plot).to_have_attribute("aria-valuetext", re.compile(f"Live view {shown['series'][0]['values'][index]}\\b"))
    page.mouse.move(0, 0)
    plot.focus()
    page.keyboard.press("Home")
    expect(plot).to_have_attribute("aria-valuenow", "0")
    page.keyboard.press("ArrowRight")
    expect(plot).to_have_attribute("aria-valuenow", "1")
    expect(tooltip).to_be_visible()
    expect(plot).to_have_attribute("role", "slider")
    page.keyboard.press("End")
    expect(plot).to_have_attribute("aria-valuenow", str(len(shown["times"]) - 1))


def test_what_the_batch_does_not_have_yet_is_shaded_and_not_drawn_as_zero(open_page: Open) -> None:
    """On a page whose last hours are taken from the batch: the platform itself may have none at this moment."""
    page = open_page("/")
    plot = page.locator("#window-1 .plot")
    before = pixels(page, "#window-1")
    shown = chart(page, "#window-1")
    shown["series"][1]["values"][-24:] = [None] * 24
    shown["shaded"] = [[shown["times"][-24], shown["times"][-1] + 3_600]]
    plot.evaluate("(plot, data) => { plot.dataset.chart = JSON.stringify(data); drawCharts(document); }", shown)
    plot.focus()
    page.keyboard.press("End")
    expect(plot).to_have_attribute("aria-valuetext", re.compile("Batch not there yet"))
    assert pixels(page, "#window-1") > before + 5_000


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
    expect(page.get_by_role("alert")).to_contain_text("'soon' is not a date")
    expect(page.get_by_role("alert")).to_contain_text("'<script>' does not exist")


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


def test_pipeline_shows_the_counts_of_kafka_and_the_warehouse(open_page: Open, platform: Running) -> None:
    page = open_page("/pipeline")
    kafka_records: dict[str, int] = {}
    for partition in kafka_ranges(platform.settings, topic_names(platform)):
        kafka_records[partition.stream] = kafka_records.get(partition.stream, 0) + partition.end
    for stream, records in kafka_records.items():
        cells = page.locator(f'tr[data-stream="{stream}"] td')
        raw = scalar(platform, f"select count(*) from raw.{stream.replace('.', '_')}")
        quarantined = scalar(platform, f"select count(*) from raw.quarantine where stream = '{stream}'")
        texts = [cells.nth(column).inner_text() for column in (0, 1, 2, 3, 5)]
        assert [number(text) for text in texts] == [records, records, records, raw, quarantined]
        spark = json.loads(cells.nth(4).locator(".spark").get_attribute("data-spark") or "")
        rows = platform.query(
            f"select rows from ops.dates where stream = '{stream}' order by event_date desc limit 30"
        )["rows"]
        assert spark["series"][0]["values"] == list(reversed(rows.tolist()))
        expect(cells.nth(4).locator("canvas")).to_be_visible()
    marts = "select count(*) from information_schema.tables where table_schema = 'marts'"
    assert number(page.locator("#marts").inner_text()) == scalar(platform, marts)


def test_the_heat_map_shows_each_date_and_opens_it(open_page: Open, platform: Running) -> None:
    page = open_page("/pipeline")
    dates = platform.query(
        "select event_date::text, bool_and(closed) as closed, bool_or(pending) as pending,"
        " sum(quarantined)::int as quarantined, sum(late)::int as late from ops.date_status group by 1"
    )
    assert page.locator(".heat a").count() == len(dates) > 30
    for date in dates.itertuples():
        open_or_closed = ("late" if date.late else "closed") if date.closed else "open"
        state = "pending" if date.pending else "quarantined" if date.quarantined else open_or_closed
        expect(page.locator(f'.heat a[data-date="{date.event_date}"]')).to_have_class(f"heat-{state}")
    page.locator('.heat a[data-date="2013-01-25"]').click()
    expect(page).to_have_url(re.compile("date=2013-01-25"))
    shown = table(page, "#day table")
    expected = platform.query(
        "select stream, rows, late, quarantined from ops.date_status where event_date = '2013-01-25' order by 1"
    )
    assert shown[0].tolist() == expected["stream"].tolist()
    assert [number(text) for text in shown[2]] == expected["rows"].tolist()
    assert [number(text) for text in shown[6]] == expected["quarantined"].tolist()
    expect(page.locator("#day")).to_contain_text("make backfill FROM=2013-01-25 TO=2013-01-25")


def test_the_heat_map_is_one_stop_of_the_tab_key(open_page: Open) -> None:
    page = open_page("/pipeline")
    assert page.locator('.heat a[tabindex="0"]').count() == 1
    page.locator('.heat a[data-date="2013-01-25"]').focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator('.heat a[data-date="2013-01-24"]')).to_be_focused()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("date=2013-01-24"))


def test_runs_shows_those_of_airflow_with_failures_first(open_page: Open, platform: Running) -> None:
    page = open_page("/runs")
    with connect(platform.settings, "reader", "airflow") as airflow:
        states = dict(airflow.execute("select run_id || dag_id, state from dag_run").fetchall())
        failed = airflow.execute(
            "select count(*) from task_instance join dag_run using (dag_id, run_id)"
            " where dag_run.state = 'failed' and task_instance.state = 'failed'"
        ).fetchone()
    assert len(chart(page, "#runs-chart")["times"]) <= len(states)
    shown = table(page, "#runs table")
    assert len(shown) > 3
    assert shown[1].tolist() == sorted(shown[1], key=lambda state: state != "failed")
    links = page.locator("#runs tbody th a")
    assert f":{platform.settings.airflow_port}/dags/" in str(links.first.get_attribute("href"))
    assert failed is not None
    assert page.locator("#failures tbody tr").count() == min(int(str(failed[0])), 25)


def test_a_failed_task_leads_to_its_log(open_page: Open, platform: Running) -> None:
    with connect(platform.settings, "postgres", "airflow") as airflow:
        # The latest transform, as if it had failed. Airflow does not look at runs that have ended.
        run = airflow.execute(
            "select run_id from dag_run where dag_id = 'transform' and state = 'success'"
            " order by start_date desc limit 1"
        ).fetchone()
        assert run is not None
        airflow.execute("update dag_run set state = 'failed' where dag_id = 'transform' and run_id = %s", run)
        airflow.execute("update task_instance set state = 'failed' where dag_id = 'transform' and run_id = %s", run)
    try:
        page = open_page("/runs")
        row = page.locator("#failures tbody tr", has_text="transform").first
        href = str(row.get_by_role("link").get_attribute("href"))
        assert re.search(
            rf":{platform.settings.airflow_port}/dags/transform/runs/[^/]+/tasks/\w+\?try_number=\d+$", href
        )
        expect(page.locator("#runs tbody tr").first).to_have_class("bad")
        first = open_page("/")
        expect(first.locator("#problems")).to_contain_text("run of transform failed", ignore_case=True)
        expect(first.locator('[data-node="transform"]')).to_have_class(re.compile(r"\bbad\b"))
    finally:
        with connect(platform.settings, "postgres", "airflow") as airflow:
            airflow.execute("update dag_run set state = 'success' where dag_id = 'transform' and run_id = %s", run)
            airflow.execute(
                "update task_instance set state = 'success' where dag_id = 'transform' and run_id = %s", run
            )


def test_a_backfill_is_shown_with_its_proof(open_page: Open, platform: Running) -> None:
    with connect(platform.settings, "loader") as loader:
        loader.execute(
            "insert into ops.backfills (first_date, last_date, streams, what, holds, proof) values"
            " ('2013-01-01', '2013-01-02', '{flights.departed}', 'all', true, 'nothing changed on these dates')"
        )
    try:
        page = open_page("/runs")
        backfill = page.locator("#backfills details").first
        expect(backfill.locator("summary")).to_contain_text("2013-01-01 to 2013-01-02: all of flights.departed")
        expect(backfill.locator(".pill")).to_have_text("proved")
        backfill.locator("summary").click()
        expect(backfill.locator("pre")).to_contain_text("nothing changed on these dates")
    finally:
        with connect(platform.settings, "loader") as loader:
            loader.execute("delete from ops.backfills where proof = 'nothing changed on these dates'")


@pytest.mark.parametrize("query", ["select conf from dag_run", "select * from connection", "delete from dag_run"])
def test_the_reader_sees_only_the_runs_of_airflow(platform: Running, query: LiteralString) -> None:
    with connect(platform.settings, "reader", "airflow") as airflow, pytest.raises(InsufficientPrivilege):
        airflow.execute(query)


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
    expect(missing).to_contain_text("make quarantine A='discard --stream flights.departed --reason")


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
    expect(page.locator("#reasons .fault")).to_have_count(0, timeout=2 * REFRESH_MS)


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
        expect(page.locator("#alerts li.bad")).to_contain_text("Raised by a test.", timeout=REFRESH_MS)
        expect(first.locator("#alerts li.bad")).to_contain_text("Raised by a test.", timeout=REFRESH_MS)
        expect(first.locator("#problems")).to_contain_text("1 alert is open", ignore_case=True)
        with connect(platform.settings, "loader") as loader:
            loader.execute("update ops.alerts set cleared_at = now() where kind = 'test'")
        expect(page.locator("#alerts li.good")).to_contain_text("Raised by a test.", timeout=REFRESH_MS)
        expect(first.locator("#alerts li")).to_have_count(0, timeout=REFRESH_MS)
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
    page.get_by_role("link", name="Quarantine").focus()
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
