"""The models' documentation: generated when its content changes, and complete."""

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
PAGE = "mkdir -p $DBT_TARGET_PATH; wc -l < logs/arguments > $DBT_TARGET_PATH/static_index.html"
"""The script of a dbt that generates a page with the number of its invocations."""
DESCRIBED = [*sorted((ROOT / "dbt" / "models").rglob("*.sql")), *sorted((ROOT / "dbt" / "seeds").glob("*.csv"))]


def generated(dbt: Dbt, contracts: dict[str, Contract] = CONTRACTS) -> bool:
    return document(dbt.settings, contracts, dbt=dbt)


def test_the_page_is_generated_once_as_a_single_file(make_dbt: MakeDbt) -> None:
    dbt = make_dbt(PAGE)
    assert generated(dbt)
    assert dbt.settings.dbt_docs.read_text().strip() == "1"
    (arguments,) = (dbt.project / "logs" / "arguments").read_text().splitlines()
    assert arguments.startswith("--no-use-colors docs generate --static ")
    assert not generated(dbt)
    assert len((dbt.project / "logs" / "arguments").read_text().splitlines()) == 1


@pytest.mark.parametrize("change", ["a model", "another model", "a contract", "a deleted page", "a model's folder"])
def test_the_page_is_regenerated_after_a_change(make_dbt: MakeDbt, change: str) -> None:
    dbt = make_dbt(PAGE)
    models = dbt.project / "models"
    models.mkdir(parents=True)
    (models / "a.sql").write_text("select 1")
    contracts = dict(CONTRACTS)
    assert generated(dbt)
    assert not generated(dbt)
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
    assert generated(dbt, contracts)
    assert not generated(dbt, contracts)


def test_a_failure_leaves_the_existing_page_and_the_next_attempt_replaces_it(make_dbt: MakeDbt) -> None:
    assert generated(make_dbt(PAGE))
    dbt = make_dbt("exit 1")
    before = dbt.settings.dbt_docs.read_text()
    (dbt.project / "new.sql").write_text("select 1")
    with pytest.raises(TerminalError):
        generated(dbt)
    assert dbt.settings.dbt_docs.read_text() == before
    assert generated(make_dbt(PAGE))


@pytest.mark.parametrize("file", DESCRIBED, ids=lambda file: file.stem)
def test_every_model_and_each_of_its_listed_columns_has_a_description(file: Path) -> None:
    document = yaml.safe_load(file.with_suffix(".yml").read_text())
    (node,) = [*document.get("models", []), *document.get("seeds", [])]
    assert node["name"] == file.stem
    assert node["description"].strip()
    assert node["columns"]
    for column in node["columns"]:
        assert column.get("description", "").strip(), column["name"]


def test_every_quoted_description_exists() -> None:
    blocks = set(re.findall(r"{% docs (\w+) %}", "".join(source_files(CONTRACTS).values())))
    quoted = {
        name
        for file in (ROOT / "dbt" / "models").rglob("*.yml")
        for name in re.findall(r"doc\('(\w+)'\)", file.read_text())
    }
    assert quoted <= blocks
    assert len(quoted) > 20


def test_the_dashboards_exposure_lists_exactly_the_marts_that_it_reads() -> None:
    exposures = yaml.safe_load((ROOT / "dbt" / "models" / "exposures.yml").read_text())["exposures"]
    (listed,) = (exposure["depends_on"] for exposure in exposures if exposure["name"] == "dashboard")
    sources = "".join(file.read_text() for file in (ROOT / "dashboard").rglob("*.py"))
    read = set(re.findall(r"(?:from|join) marts\.(\w+)", sources))
    assert {f"ref('{table}')" for table in read} == set(listed)
