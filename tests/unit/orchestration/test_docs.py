"""The documentation of DAGs: the contract's columns as a table, and links to this platform's pages."""

import pytest

from sluice.contracts import Column, load_contracts
from sluice.orchestration.docs import column_table, render
from sluice.settings import ROOT, Settings

CONTRACT = load_contracts(ROOT / "contracts")["weather.observed"]


def row(column: Column) -> str:
    return column_table(CONTRACT.model_copy(update={"columns": (column,)})).splitlines()[2]


def test_the_table_has_a_row_per_column() -> None:
    lines = column_table(CONTRACT).splitlines()
    assert len(lines) == 2 + len(CONTRACT.columns)
    assert {line.count("|") for line in lines} == {6}
    assert "| `humidity_percent` | float64 |  | 0 to 100 | Relative humidity. Unit: percent. |" in lines
    origin = next(column for column in CONTRACT.columns if column.name == "origin")
    assert f"| `origin` | string | yes |  | {origin.description} |" in lines


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, ""),
        ({"minimum": 0}, "at least 0"),
        ({"maximum": 1000}, "at most 1,000"),
        ({"minimum": -1.5, "maximum": 2}, "-1.5 to 2"),
    ],
)
def test_limits_are_readable(limits: dict[str, float], expected: str) -> None:
    column = Column(name="a", type="float64", description="A.", **limits)
    assert row(column) == f"| `a` | float64 |  | {expected} | A. |"


def test_a_description_cannot_break_the_table_or_the_text() -> None:
    column = Column(name="a", type="string", description="One | two,\nand {three}.")
    table = row(column)
    assert table.endswith("| One \\| two, and {three}. |")
    assert render("{columns}", Settings(), columns=table) == table


def test_links_use_the_urls_for_a_browser() -> None:
    text = "{airflow} {dashboard} {lake} {dbt}"
    local = Settings(airflow_port=1, dashboard_port=2, minio_console_port=3, lake_bucket="b")
    assert render(text, local) == (
        "http://127.0.0.1:1 http://127.0.0.1:2 http://127.0.0.1:3/browser/b http://127.0.0.1:2/dbt"
    )
    published = {"airflow_url": "http://a", "dashboard_url": "http://d", "minio_console_url": "http://m"}
    in_containers = Settings(airflow_host="airflow-api-server", minio_host="minio", **published)
    assert render(text, in_containers) == "http://a http://d http://m/browser/lake http://d/dbt"
