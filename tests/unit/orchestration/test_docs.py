"""What Airflow's pages say: the contract's columns as a table, and links to this platform's own pages."""

import pytest

from sluice.contracts import Column, load_contracts
from sluice.orchestration.docs import columns, render
from sluice.settings import ROOT, Settings

CONTRACT = load_contracts(ROOT / "contracts")["weather.observed"]


def row(column: Column) -> str:
    return columns(CONTRACT.model_copy(update={"columns": (column,)})).splitlines()[2]


def test_a_contract_is_a_table_with_a_row_per_column() -> None:
    lines = columns(CONTRACT).splitlines()
    assert len(lines) == 2 + len(CONTRACT.columns)
    assert {line.count("|") for line in lines} == {6}
    assert "| `humidity_percent` | float64 |  | 0 to 100 | Relative humidity. Unit: percent. |" in lines
    assert "| `origin` | string | yes |  | FAA code of the airport that was observed. |" in lines


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({}, ""),
        ({"minimum": 0}, "0 or more"),
        ({"maximum": 1000}, "at most 1,000"),
        ({"minimum": -1.5, "maximum": 2}, "-1.5 to 2"),
    ],
)
def test_limits_are_said(limits: dict[str, float], said: str) -> None:
    column = Column(name="a", type="float64", description="A.", **limits)
    assert row(column) == f"| `a` | float64 |  | {said} | A. |"


def test_a_description_cannot_break_the_table_or_the_text() -> None:
    column = Column(name="a", type="string", description="One | two,\nand {three}.")
    table = row(column)
    assert table.endswith("| One \\| two, and {three}. |")
    assert render("{columns}", Settings(), columns=table) == table


def test_links_lead_to_where_a_browser_finds_the_pages() -> None:
    text = "{airflow} {dashboard} {lake} {dbt}"
    here = Settings(airflow_port=1, dashboard_port=2, minio_console_port=3, lake_bucket="b")
    assert render(text, here) == (
        "http://127.0.0.1:1 http://127.0.0.1:2 http://127.0.0.1:3/browser/b http://127.0.0.1:2/dbt"
    )
    published = {"airflow_url": "http://a", "dashboard_url": "http://d", "minio_console_url": "http://m"}
    contained = Settings(airflow_host="airflow-api-server", minio_host="minio", **published)
    assert render(text, contained) == "http://a http://d http://m/browser/lake http://d/dbt"
