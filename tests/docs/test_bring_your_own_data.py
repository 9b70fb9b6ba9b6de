"""The page about bringing your own data: its commands run as they stand, and its figures are those of the file."""

import csv
import html
import io
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

import httpx
import pytest

from sluice.settings import ROOT, Settings
from tests.fixtures.blocks import blocks
from tests.fixtures.checkout import Checkout, new_checkout, run_blocks
from tests.fixtures.waiting import wait

PAGE = "docs/how-to/bring-your-own-data.md"
DATA = ROOT / "docs" / "data" / "earthquakes.json"
STREAM = "quakes.reported"


def test_the_figures_on_the_page_are_those_of_the_file() -> None:
    text = (ROOT / PAGE).read_text()
    table = text[text.index("event_date,event_count") :].split("```")[0]
    shown = {
        row["event_date"]: (int(row["event_count"]), Decimal(row["largest_magnitude"]), Decimal(row["mean_depth_km"]))
        for row in csv.DictReader(io.StringIO(table))
    }
    quakes = defaultdict(list)
    for feature in json.loads(DATA.read_text(), parse_float=Decimal)["features"]:
        day = datetime.fromtimestamp(feature["properties"]["time"] / 1000, UTC).date().isoformat()
        quakes[day].append((Decimal(feature["properties"]["mag"]), Decimal(feature["geometry"]["coordinates"][2])))
    assert shown == {
        day: (
            len(of_day),
            max(magnitude for magnitude, _ in of_day),
            round(sum(depth for _, depth in of_day) / len(of_day), 3),
        )
        for day, of_day in quakes.items()
    }


@pytest.mark.timeout(1800)
def test_the_commands_print_what_the_page_shows(say: Callable[[str], None]) -> None:
    with new_checkout() as checkout:
        run_blocks(checkout, blocks(PAGE, (ROOT / PAGE).read_text()), say)
        assert_dashboard_shows_the_stream(checkout)


def assert_dashboard_shows_the_stream(checkout: Checkout) -> None:
    """Asserts that the *Pipeline* page has the stream's records and its dates, as the end of the page says."""
    settings = Settings(_env_file=checkout.folder / ".env")  # type: ignore[call-arg]
    times = [feature["properties"]["time"] for feature in json.loads(DATA.read_text())["features"]]
    by_date = sorted(Counter(datetime.fromtimestamp(time / 1000, UTC).date() for time in times).items())
    confirmed = re.search(r"^total +([0-9,]+) confirmed", (ROOT / PAGE).read_text(), re.MULTILINE)
    assert confirmed is not None
    sent = int(confirmed[1].replace(",", ""))
    expected = ([sent, sent, sent, len(times), sent - len(times)], [rows for _, rows in by_date])

    def shown() -> tuple[list[int], list[int]] | None:
        with httpx.Client(base_url=f"http://127.0.0.1:{settings.dashboard_port}", trust_env=False) as client:
            return read_stream(client.get("/pipeline").raise_for_status().text, STREAM)

    # The dashboard asks Kafka and the lake every few seconds.
    wait(f"the dashboard to show {expected}", lambda: shown() == expected, every=1, detail=shown)


def read_stream(page: str, stream: str) -> tuple[list[int], list[int]] | None:
    """Returns what the *Pipeline* page has of a stream; None if it has no such row, or one with a lag or a gap.

    Returns:
        The records in Kafka, in the lake, loaded, in the raw table and in quarantine; and the raw rows per date.
    """
    row = re.search(rf'<tr data-stream="{re.escape(stream)}">(.*?)</tr>', page, re.DOTALL)
    cells = re.findall(r"<td[^>]*>(.*?)</td>", row[1], re.DOTALL) if row else []
    texts = [re.sub("<[^>]*>", "", cell).strip().replace(",", "") for cell in cells]
    spark = re.search(r"data-spark='([^']*)'", cells[4]) if cells else None
    counts = [texts[column] for column in (0, 1, 2, 3, 5)] if cells else []
    if spark is None or not all(text.isdecimal() for text in counts):
        return None
    return list(map(int, counts)), json.loads(html.unescape(spark[1]))["series"][0]["values"]
