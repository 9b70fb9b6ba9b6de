"""The page about bringing your own data: its commands run as they stand, and its figures are those of the file."""

import csv
import io
import json
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from sluice.settings import ROOT
from tests.fixtures.blocks import blocks
from tests.fixtures.checkout import new_checkout, run_blocks

PAGE = "docs/how-to/bring-your-own-data.md"
DATA = ROOT / "docs" / "data" / "earthquakes.json"


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
