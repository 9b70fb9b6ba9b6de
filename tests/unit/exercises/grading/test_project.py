"""How a mart is compared, which tests count, and how files are laid over a project."""

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from exercises.grading.attempt import WrongAnswer
from exercises.grading.data_tests import read_tests
from exercises.grading.mart_rows import Rows, compare_rows
from exercises.grading.project import Project
from exercises.grading.raw_rows import RawRows
from exercises.grading.unseen import random_date, random_events
from producers.flights.timeline import Timeline
from sluice.contracts import load_contracts
from sluice.settings import ROOT, Settings

DAY = date(2013, 5, 2)
EXPECTED = Rows(["day", "origin", "flights"], [(DAY, "EWR", 3), (DAY, "JFK", 0)])


def test_rows_and_columns_may_have_any_order_and_numbers_any_type() -> None:
    compare_rows(
        "mart",
        ["day", "origin"],
        Rows(["flights", "day", "origin"], [(Decimal("0.0"), DAY, "JFK"), (3, DAY, "EWR")]),
        EXPECTED,
    )


@pytest.mark.parametrize(
    ("names", "rows", "message"),
    [
        (["day", "origin"], [], "mart has no column flights"),
        (["day", "origin", "flights", "more"], [], "mart has a column more"),
        (EXPECTED.names, [], "mart has no rows of day 2013-05-02, origin EWR, expected one"),
        (EXPECTED.names, [EXPECTED.rows[0]] * 2, "mart has 2 rows of day 2013-05-02, origin EWR, expected one"),
        (
            EXPECTED.names,
            [*EXPECTED.rows, (DAY, "AAA", 1)],
            "mart has a row of day 2013-05-02, origin AAA, expected none",
        ),
        (EXPECTED.names, [*EXPECTED.rows, (DAY, None, 1)], "mart has a row of day 2013-05-02, origin null"),
        (EXPECTED.names, [(DAY, "EWR", None), EXPECTED.rows[1]], "mart has flights null for .* EWR, expected 3"),
        (EXPECTED.names, [(DAY, "EWR", float("inf")), EXPECTED.rows[1]], "mart has flights inf for .* EWR, expected 3"),
        (EXPECTED.names, [(DAY, "EWR", "3")], "mart: flights is text, expected a number"),
        (EXPECTED.names, [(datetime(2013, 5, 2, tzinfo=UTC), "EWR", 3)], "mart: day is a timestamp, expected a date"),
        (EXPECTED.names, [(DAY, "EWR", True)], "mart: flights is a boolean, expected a number"),
    ],
)
def test_the_first_difference_is_named_by_its_key(names: list[str], rows: list[tuple[Any, ...]], message: str) -> None:
    with pytest.raises(WrongAnswer, match=message):
        compare_rows("mart", ["day", "origin"], Rows(names, rows), EXPECTED)


def test_tests_that_only_warn_do_not_count() -> None:
    config = {"severity": "ERROR", "fail_calc": "count(*)", "error_if": "!= 0", "limit": None}
    test = {
        "name": "unique_mart_day",
        "resource_type": "test",
        "config": config,
        "compiled_code": "select 1 -- one row",
        "depends_on": {"nodes": ["model.sluice.mart", "source.sluice.raw.flights"]},
    }
    nodes = {
        "model.sluice.mart": {"name": "mart", "resource_type": "model"},
        "test.a": test,
        "test.b": test | {"config": config | {"severity": "warn"}},
    }
    results = [{"unique_id": name, "status": "fail"} for name in ("model.sluice.mart", "test.a", "test.b", "hook")]
    (only,) = read_tests({"nodes": nodes}, results)
    assert (only.name, only.passed, only.reads) == ("unique_mart_day", False, {"mart"})
    assert only.query.startswith("select count(*) != 0 from (select * from (\nselect 1 -- one row\n)")


def test_a_file_that_is_laid_over_replaces_those_of_the_same_name(tmp_path: Path) -> None:
    settings = Settings.model_construct(dbt=tmp_path)
    project = Project(settings, RawRows(settings, {}))
    for path in ("models/routes.sql", "models/marts/routes.sql", "models/routes.yml"):
        project.lay_over({path: path})
    project.lay_over({"models/other/routes.sql": "new"})
    files = {str(file.relative_to(tmp_path)): file.read_text() for file in tmp_path.rglob("*") if file.is_file()}
    assert files == {"models/other/routes.sql": "new", "models/routes.yml": "models/routes.yml"}


def test_random_events_have_all_events_of_a_flight_or_none_and_all_weather() -> None:
    contracts = load_contracts(ROOT / "contracts")
    day = random_date(date(2013, 2, 1), date(2013, 2, 2))
    assert date(2013, 2, 1) <= day <= date(2013, 2, 2)
    every = [event for batch in Timeline(contracts, day, day).batches() for event in batch]
    kept = random_events(contracts, day, day)
    flights = {event.key for event in kept if event.stream != "weather.observed"}
    assert kept == [event for event in every if event.stream == "weather.observed" or event.key in flights]
    assert len(every) / 2 < len(kept) < len(every)
