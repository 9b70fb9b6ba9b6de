"""What one dbt invocation has made ready: which marts may be published, and whether its dates were built."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sluice.dbt_project import NOT_PUBLISHED

Node = Mapping[str, Any]

_PASSED = ("success", "pass", "warn", "no-op")
_BUILT_WHOLE = ("table", "view", "materialized_view", "ephemeral")
"""Materializations that build all rows in every run, so they need no date again. Others may build only stale rows."""
_BUILT = ("model", "seed", "snapshot")
"""Types of nodes that build a relation."""
_RUN = ("model", "snapshot", "test", "operation", "unit test")
"""Kinds of what dbt runs."""
_RECONCILE = frozenset({"exposure.sluice.reconcile"})
"""dbt's id of the exposure of the reconciliation, which reads every raw table."""


@dataclass(frozen=True)
class Mart:
    """A model or snapshot whose rows are published."""

    model: str
    """dbt's id of it."""
    schema: str
    name: str
    """The relation that dbt built, in ``schema``; the mart has the same name in the schema ``marts``."""


@dataclass(frozen=True)
class Readiness:
    """What may be published after a dbt invocation."""

    marts: list[Mart]
    """Built and tested, and so is everything that they are built from."""
    held_back: dict[str, str]
    """The other marts, by name, with the reasons."""
    complete: bool
    """Whether the dates of the plan are built: every model that builds only stale rows was built and passed its tests.
    A mart that is held back otherwise is built whole by the next run, from any dates."""
    staging: dict[str, tuple[str, str]]
    """Schema and relation of each model of a raw table, by the table's name."""
    work_lists: list[tuple[str, str]]
    """Schema and relation of each model that lists what to rebuild; empty again once the dates are built."""
    suspects: list[str]
    """dbt's ids of what was not built, failed a test or is built from such a node."""


def readiness(manifest: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> Readiness:
    """Returns what may be published after an invocation.

    A model is suspect if it failed, if a test that reads it failed, or if it is built from a suspect model or seed. A
    failed test that reads no model, and a failed hook, make every model suspect. A test that was skipped makes no model
    suspect: it reads a failed one, and the others may have nothing to do with that.

    Args:
        manifest: dbt's ``manifest.json``.
        results: of dbt's ``run_results.json``. A retry's results list only what it ran; everything else had passed.
    """
    models = {name: node for name, node in manifest["nodes"].items() if node["resource_type"] == "model"}
    suspects = _suspects(manifest, results)
    marts = marts_of(manifest)
    return Readiness(
        [mart for mart in marts if mart.model not in suspects],
        {mart.name: suspects[mart.model] for mart in marts if mart.model in suspects},
        complete=not any(builds_part(manifest["nodes"].get(name)) for name in suspects),
        staging={
            node["name"].removeprefix("stg_"): _relation(node)
            for node in models.values()
            if node["name"].startswith("stg_")
        },
        work_lists=[_relation(node) for node in models.values() if "work_list" in node["tags"]],
        suspects=sorted(suspects),
    )


def tables_read(manifest: Mapping[str, Any] | None) -> set[str]:
    """Returns the raw tables that anything in the project reads, by dbt's description of it, if there is one.

    The reconciliation's exposure, which is generated with the declarations of the tables, does not count.
    """
    if manifest is None:
        return set()
    children = manifest["child_map"]
    return {
        source["name"]
        for name, source in manifest["sources"].items()
        if source["source_name"] == "raw" and not _RECONCILE.issuperset(children.get(name, ()))
    }


@dataclass(frozen=True)
class Readers:
    """What reads a raw table, directly or not, by name. Tests that a YAML file attaches to a model are left out."""

    run: list[str]
    """What a transform runs: models and snapshots as ``folder.name``, marts first; then singular tests and hooks."""
    referring: list[str]
    """What only refers to it: analyses, exposures, metrics and the like."""


def readers_of_source(manifest: Mapping[str, Any] | None, table: str) -> Readers:
    """Returns what reads a raw table, by dbt's description of the project, if there is one."""
    if manifest is None:
        return Readers([], [])
    sources = [
        name
        for name, source in manifest["sources"].items()
        if source["source_name"] == "raw" and source["name"] == table
    ]
    reached = sorted(descendants(manifest, sources).difference(sources, _RECONCILE))
    nodes = {name: manifest["nodes"][name] for name in reached if name in manifest["nodes"]}
    built = [node for node in nodes.values() if node["resource_type"] in ("model", "snapshot")]
    built.sort(key=lambda node: (not _is_mart(node), node["name"]))
    # A test that a YAML file attaches to a model has metadata; it is removed with its model.
    tests = [node for node in nodes.values() if node["resource_type"] == "test" and not node.get("test_metadata")]
    hooks = [node for node in nodes.values() if node["resource_type"] == "operation"]
    kinds = {name: name.split(".")[0].replace("_", " ") for name in reached}
    return Readers(
        [
            *(f"{'marts' if _is_mart(node) else node['fqn'][1]}.{node['name']}" for node in built),
            *(f"test {node['name']}" for node in tests),
            *(f"hook {node['name']}" for node in hooks),
        ],
        [f"{kind} {name.split('.')[2]}" for name, kind in kinds.items() if kind not in _RUN],
    )


def marts_of(manifest: Mapping[str, Any]) -> list[Mart]:
    """Returns the marts of a project: every model and snapshot that is a relation, is not in a folder ``staging`` or
    ``intermediate``, and is not below one."""
    return [
        Mart(name, node["schema"], node["alias"]) for name, node in sorted(manifest["nodes"].items()) if _is_mart(node)
    ]


def descendants(manifest: Mapping[str, Any], origins: Iterable[str]) -> set[str]:
    """Returns the ids of nodes, and of everything that is built from them or reads them."""
    reasons: dict[str, str] = {}
    _spread(reasons, manifest, origins, "")
    return set(reasons)


def builds_part(node: Node | None) -> bool:
    """Returns whether a node is a model that may rebuild only some of its rows, so that the others stay as they are."""
    if node is None or node["resource_type"] != "model":
        return False
    return node["config"]["materialized"] not in _BUILT_WHOLE or node["config"].get("rebuild") is not None


def _is_mart(node: Node) -> bool:
    return (
        node["resource_type"] in ("model", "snapshot")
        and node["config"]["materialized"] != "ephemeral"
        and NOT_PUBLISHED.isdisjoint(node["fqn"][1:-1])
    )


def _suspects(manifest: Mapping[str, Any], results: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Returns the reason for each suspect node."""
    reasons: dict[str, str] = {}
    # A model that was skipped is nearly always built from a failed one, which explains more: so failures come first.
    for result in sorted(results, key=lambda result: result["status"] == "skipped"):
        name, status = result["unique_id"], result["status"]
        if status in _PASSED:
            continue
        verb = "was skipped" if status == "skipped" else "failed"
        node = manifest["nodes"].get(name)
        if node is not None and node["resource_type"] in _BUILT:
            _spread(reasons, manifest, [name], f"{node['name']} {verb}")
        elif status != "skipped":
            read = node["depends_on"]["nodes"] if node is not None else []
            built = [name for name, node in manifest["nodes"].items() if node["resource_type"] in ("model", "snapshot")]
            _spread(reasons, manifest, read or built, f"{name.split('.')[2]} {verb}")
    return reasons


def _spread(reasons: dict[str, str], manifest: Mapping[str, Any], origins: Iterable[str], reason: str) -> None:
    """Adds nodes, and what is built from them, to those that have a reason."""
    pending = [name for name in origins if name not in reasons]
    while pending:
        name = pending.pop()
        reasons[name] = reason
        pending.extend(child for child in manifest["child_map"].get(name, ()) if child not in reasons)


def _relation(node: Node) -> tuple[str, str]:
    return node["schema"], node["alias"]
