"""What the changes of a dbt project mean for models that rebuild only stale rows."""

import json
from pathlib import Path
from typing import Any

import pytest

from sluice.transform.project import Changes, description, find_changes
from tests.unit.transform.conftest import MakeDbt, model

STAGED = "model.sluice.stg_x"
FACTS = "model.sluice.facts"
DAILY = "model.sluice.daily"
TOTALS = "model.sluice.totals"
MACRO = "macro.sluice.mean"
INNER = "macro.sluice.divide"
CHILDREN = {STAGED: [FACTS], FACTS: [DAILY, TOTALS, "test.sluice.t"], DAILY: [], TOTALS: []}
BY_KEY = {"materialized": "by_key", "rebuild": "day", "indexes": [{"columns": ["id"]}], "tags": []}


def project(macro: str = "m", **changes: dict[str, Any]) -> dict[str, Any]:
    """Returns a manifest in which models, by name, differ."""
    nodes = {
        STAGED: model(STAGED, config={"materialized": "view"}),
        FACTS: model(FACTS, config=BY_KEY),
        DAILY: model(DAILY, config=BY_KEY, depends_on={"nodes": [], "macros": [MACRO]}),
        TOTALS: model(TOTALS),
        "test.sluice.t": {"resource_type": "test"},
    }
    for name, node in changes.items():
        unique_id = f"model.sluice.{name}"
        nodes[unique_id] = nodes.get(unique_id, model(unique_id)) | node
    macros = {
        MACRO: {"macro_sql": "m", "depends_on": {"macros": [INNER, "macro.dbt.missing"]}},
        INNER: {"macro_sql": macro, "depends_on": {"macros": [MACRO]}},
    }
    return {"nodes": nodes, "sources": {}, "child_map": CHILDREN, "macros": macros}


def with_id(columns: list[str], owner: str = "x") -> dict[str, Any]:
    """Returns a manifest in which the facts are built from a raw table whose contract names the columns of the id."""
    raw = "source.sluice.raw.x"
    reading = project(facts={"depends_on": {"nodes": [raw]}})
    return reading | {"sources": {raw: {"config": {"meta": {"id": columns, "owner": owner}}}}}


def test_an_unchanged_project_has_no_changes() -> None:
    assert find_changes(project(), project()) == Changes()


def test_changed_sql_concerns_the_model_and_what_is_built_from_it() -> None:
    assert find_changes(project(), project(daily={"checksum": {"checksum": "2"}})).new_rule == {DAILY}
    # A view and a table are built whole by each run.
    assert find_changes(project(), project(stg_x={"checksum": {"checksum": "2"}})).new_rule == {FACTS, DAILY}
    assert find_changes(project(), project(totals={"checksum": {"checksum": "2"}})) == Changes()


def test_a_changed_macro_concerns_the_models_that_call_it_through_others() -> None:
    assert find_changes(project(), project(macro="changed")).new_rule == {DAILY}


SEED = "seed.sluice.codes"


def with_seed(checksum: str = "1", **config: Any) -> dict[str, Any]:
    """Returns a manifest in which the staging model is built from a seed."""
    seed = {"resource_type": "seed", "checksum": {"name": "sha256", "checksum": checksum}, "config": config}
    manifest = project()
    return manifest | {"nodes": manifest["nodes"] | {SEED: seed}, "child_map": CHILDREN | {SEED: [STAGED]}}


def test_a_changed_seed_concerns_what_is_built_from_it() -> None:
    assert find_changes(with_seed(), with_seed("2")) == Changes(new_rule=frozenset({FACTS, DAILY}))
    assert find_changes(with_seed(), with_seed(delimiter=";")).new_rule == {FACTS, DAILY}
    assert find_changes(with_seed(), with_seed(column_types={"code": "text"})).new_rule == {FACTS, DAILY}
    assert find_changes(with_seed(), with_seed(tags=["new"])) == Changes()
    # A model that begins to read a new seed has other SQL.
    assert find_changes(project(), with_seed()) == Changes()


def with_vars(variables: dict[str, Any] | None, code: str = "", macro: str = "m") -> dict[str, Any]:
    """Returns a manifest with variables, in which the daily model has some code and calls a macro."""
    return project(daily={"raw_code": code}, macro=macro) | ({} if variables is None else {"vars": variables})


@pytest.mark.parametrize(
    "code",
    ["{{ var('limit') }}", '{% if var("limit", 3) > 2 %}', "{{ var.has_var( 'limit' ) }}", "{{ var(name) }}"],
)
@pytest.mark.parametrize("in_macro", [False, True])
@pytest.mark.parametrize("package", [False, True])
def test_a_changed_variable_concerns_the_models_that_read_it(code: str, in_macro: bool, package: bool) -> None:
    def manifest(value: int) -> dict[str, Any]:
        variables: dict[str, Any] = {"limit": value}
        return with_vars({"sluice": variables} if package else variables, *(("", code) if in_macro else (code,)))

    assert find_changes(manifest(1), manifest(2)) == Changes(new_rule=frozenset({DAILY}))
    assert find_changes(manifest(1), manifest(1)) == Changes()


def test_a_variable_that_is_new_or_gone_concerns_the_models_that_read_it() -> None:
    code = "{{ var('limit', 3) }}"
    assert find_changes(with_vars({}, code), with_vars({"limit": 1}, code)).new_rule == {DAILY}
    assert find_changes(with_vars({"limit": 1}, code), with_vars({}, code)).new_rule == {DAILY}
    # Of an earlier version, which did not keep them.
    assert find_changes(with_vars(None, code), with_vars({"limit": 1}, code)) == Changes()


@pytest.mark.parametrize("code", ["{{ var('other') }}", "{{ env_var('limit') }}", "select limit from x", ""])
def test_a_changed_variable_concerns_no_other_model(code: str) -> None:
    assert find_changes(with_vars({"limit": 1}, code), with_vars({"limit": 2}, code)) == Changes()


def test_a_description_has_the_variables_and_the_content_of_large_seeds(make_dbt: MakeDbt) -> None:
    dbt = make_dbt(results=[])
    node = {"resource_type": "seed", "root_path": ".", "config": {}}
    path, digest = {"name": "path", "checksum": "x"}, {"name": "sha256", "checksum": "y"}
    seeds = {
        SEED: node | {"original_file_path": "seeds/codes.csv", "checksum": path},
        "seed.sluice.gone": node | {"original_file_path": "gone.csv", "checksum": path},
        "seed.sluice.small": node | {"original_file_path": "small.csv", "checksum": digest},
    }
    manifest = Path(dbt.executable.parent / "manifest.json")
    manifest.write_text(json.dumps(project() | {"nodes": seeds}))
    (dbt.project / "seeds" / "codes.csv").write_text("code\n1\n")
    (dbt.project / "dbt_project.yml").write_text("vars:\n  first: 2013-01-01\n  sluice: {limit: 3}\n")
    dbt.run("parse")
    one = description(dbt)
    assert one["vars"] == {"first": "2013-01-01", "sluice": {"limit": 3}}
    assert [one["nodes"][name]["checksum"]["checksum"] for name in seeds][1:] == ["x", "y"]
    (dbt.project / "seeds" / "codes.csv").write_text("code\n2\n")
    changed = description(dbt)
    assert changed["nodes"][SEED]["checksum"] != one["nodes"][SEED]["checksum"]
    # It is kept as JSON.
    assert json.loads(json.dumps(changed)) == changed


@pytest.mark.parametrize("text", ["", "- vars", "vars: 1", "vars:", "vars: {", "\x00"])
def test_a_project_without_readable_variables_has_none(make_dbt: MakeDbt, text: str) -> None:
    dbt = make_dbt(results=[])
    (dbt.project / "dbt_project.yml").write_text(text)
    dbt.run("parse")
    assert description(dbt)["vars"] == {}


def test_another_configuration_of_a_table_rebuilds_it_and_what_is_built_from_it() -> None:
    changed = find_changes(
        project(), project(facts={"config": BY_KEY | {"indexes": []}, "checksum": {"checksum": "2"}})
    )
    assert changed == Changes(whole=frozenset({FACTS, DAILY, TOTALS}))
    assert find_changes(project(), project(facts={"config": BY_KEY | {"tags": ["new"]}})) == Changes()


def test_another_id_in_the_contract_rebuilds_what_is_built_from_the_raw_table() -> None:
    assert find_changes(with_id(["a"]), with_id(["a", "b"])).whole == {FACTS, DAILY, TOTALS}
    assert find_changes(with_id(["a"]), with_id(["a"], owner="y")) == Changes()


def test_a_new_model_changes_no_other() -> None:
    new = project(added={"config": BY_KEY})
    new["child_map"] = CHILDREN | {"model.sluice.added": [FACTS]}
    assert find_changes(project(), new) == Changes()
