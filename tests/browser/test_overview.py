"""The first page in a browser: five questions answered at a glance, figures equal to SQL's, charts for everyone."""

import re
from typing import Any

import pandas as pd
from playwright.sync_api import expect

from sluice.kafka.topics import kafka_ranges
from tests.fixtures.browser import Open, chart, number, pixels, scalar, table, topic_names
from tests.fixtures.platform import Running


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
    """With a chart's last hours taken from the batch: the platform itself may lack none at this moment."""
    page = open_page("/")
    plot = page.locator("#window-1 .plot")

    def draw(data: dict[str, Any]) -> int:
        plot.evaluate("(plot, data) => { plot.dataset.chart = JSON.stringify(data); drawCharts(document); }", data)
        return pixels(page, "#window-1")

    page.get_by_role("button", name="Pause").click()
    shown = chart(page, "#window-1")
    count = len(shown["times"])
    live, batch = shown["series"]
    live["values"], batch["values"] = [50] * count, [50] * count
    complete = draw(shown | {"shaded": []})
    batch["values"] = [50] * (count // 2) + [None] * (count - count // 2)
    absent = draw(shown | {"shaded": []})
    batch["values"] = [50] * (count // 2) + [0] * (count - count // 2)
    # A line at the height of the bars' ends is drawn over them, one at 0 as well: absence draws nothing.
    assert absent <= complete
    assert absent < draw(shown | {"shaded": []})
    batch["values"] = [50] * (count // 2) + [None] * (count - count // 2)
    assert draw(shown | {"shaded": [[shown["times"][count // 2], shown["times"][-1] + 3_600]]}) > absent + 5_000
    plot.focus()
    page.keyboard.press("End")
    expect(plot).to_have_attribute("aria-valuetext", re.compile("Batch not there yet"))
