"""The models' documentation: made when what it tells has changed, and complete in what it says."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from sluice.contracts import Contract, load_contracts
from sluice.errors import TerminalError
from sluice.settings import ROOT
from sluice.transform import document
from sluice.transform.dbt import Dbt
from sluice.transform.sources import source_files

MakeDbt = Callable[..., Dbt]

CONTRACTS = load_contracts(ROOT / "contracts")
PAGE = "mkdir -p $DBT_TARGET_PATH; wc -l < arguments > $DBT_TARGET_PATH/static_index.html"
"""A dbt that makes a page which says how often it was asked."""
DESCRIBED = [*sorted((ROOT / "dbt" / "models").rglob("*.sql")), *sorted((ROOT / "dbt" / "seeds").glob("*.csv"))]


def made(dbt: Dbt, contracts: dict[str, Contract] = CONTRACTS) -> bool:
    return document(dbt.settings, contracts, dbt=dbt)


def test_it_is_made_once_by_dbt_alone(make_dbt: MakeDbt) -> None:
    dbt = make_dbt(PAGE)
    assert made(dbt)
    assert dbt.settings.dbt_docs.read_text().strip() == "1"
    assert (dbt.project / "arguments").read_text().startswith("--no-use-colors docs generate --static ")
    (dbt.project / "arguments").unlink()
    (dbt.project / "environment").unlink()
    assert not made(dbt)
    assert not (dbt.project / "arguments").exists()


@pytest.mark.parametrize(
    "change", ["a model", "another model", "a contract", "a page that is gone", "a model's folder"]
)
def test_it_is_made_again_for_a_change(make_dbt: MakeDbt, change: str) -> None:
    # Its arguments go where they do not count as a file of the project.
    dbt = make_dbt(f"{PAGE}; mkdir -p logs; mv arguments environment logs")
    models = dbt.project / "models"
    models.mkdir(parents=True)
    (models / "a.sql").write_text("select 1")
    contracts = dict(CONTRACTS)
    assert made(dbt)
    assert not made(dbt)
    if change == "a model":
        (models / "a.sql").write_text("select 2")
    elif change == "another model":
        (models / "b.sql").write_text("select 1")
    elif change == "a model's folder":
        (models / "marts").mkdir()
        (models / "a.sql").rename(models / "marts" / "a.sql")
    elif change == "a contract":
        contracts.popitem()
    else:
        dbt.settings.dbt_docs.unlink()
    assert made(dbt, contracts)
    assert not made(dbt, contracts)


def test_a_failure_leaves_the_page_that_is_there_and_is_made_good(make_dbt: MakeDbt) -> None:
    away = "mv arguments environment $DBT_TARGET_PATH"
    assert made(make_dbt(f"{PAGE}; {away}"))
    dbt = make_dbt("rm arguments environment; exit 1")
    before = dbt.settings.dbt_docs.read_text()
    (dbt.project / "new.sql").write_text("select 1")
    with pytest.raises(TerminalError):
        made(dbt)
    assert dbt.settings.dbt_docs.read_text() == before
    assert made(make_dbt(f"{PAGE}; {away}"))


@pytest.mark.parametrize("file", DESCRIBED, ids=lambda file: file.stem)
def test_every_model_and_every_column_that_it_lists_is_described(file: Path) -> None:
    document = yaml.safe_load(file.with_suffix(".yml").read_text())
    (node,) = [*document.get("models", []), *document.get("seeds", [])]
    assert node["name"] == file.stem
    assert node["description"].strip()
    assert node["columns"]
    for column in node["columns"]:
        assert column.get("description", "").strip(), column["name"]


def test_every_description_that_is_quoted_is_there() -> None:
    blocks = set(re.findall(r"{% docs (\w+) %}", source_files(CONTRACTS)["raw.md"]))
    quoted = {
        name
        for file in (ROOT / "dbt" / "models").rglob("*.yml")
        for name in re.findall(r"doc\('(\w+)'\)", file.read_text())
    }
    assert quoted <= blocks
    assert len(quoted) > 20


def test_the_dashboard_s_place_in_the_lineage_is_what_it_reads() -> None:
    exposures = yaml.safe_load((ROOT / "dbt" / "models" / "exposures.yml").read_text())["exposures"]
    (said,) = (each["depends_on"] for each in exposures if each["name"] == "dashboard")
    sources = "".join(file.read_text() for file in (ROOT / "dashboard").rglob("*.py"))
    read = set(re.findall(r"marts\.(\w+)", sources))
    assert {f"ref('{table}')" for table in read} == set(said)
