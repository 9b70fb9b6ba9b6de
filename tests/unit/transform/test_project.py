"""What the changes of a dbt project mean for models that rebuild only stale rows."""

from typing import Any

from sluice.transform.project import Changes, find_changes
from tests.unit.transform.conftest import model

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
