"""The page about the pipeline in a browser: counts and dates equal to SQL's."""

import json
import re

from playwright.sync_api import expect

from sluice.kafka.topics import kafka_ranges
from tests.fixtures.browser import (
    Open,
    number,
    scalar,
    table,
    topic_names,
)
from tests.fixtures.platform import Running


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
