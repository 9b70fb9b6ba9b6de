"""What one dbt invocation has made ready: which marts may be published, and whether its dates were built."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Node = Mapping[str, Any]

_PASSED = ("success", "pass", "warn", "no-op")
_BUILT_WHOLE = ("table", "view", "materialized_view", "ephemeral")
"""Materializations that build all rows in every run, so they need no date again. Others may build only stale rows."""


@dataclass(frozen=True)
class Mart:
    """A model whose rows are published."""

    model: str
    """dbt's id of the model."""
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
    suspects = _suspects(manifest, models, results)
    marts, held_back = [], {}
    for name, node in sorted(models.items()):
        if _is_mart(node):
            if name in suspects:
                held_back[node["alias"]] = suspects[name]
            else:
                marts.append(Mart(name, node["schema"], node["alias"]))
    return Readiness(
        marts,
        held_back,
        complete=not any(_builds_part(models[name]) for name in suspects if name in models),
        staging={
            node["name"].removeprefix("stg_"): _relation(node)
            for node in models.values()
            if node["name"].startswith("stg_")
        },
        work_lists=[_relation(node) for node in models.values() if "work_list" in node["tags"]],
    )


def tables_with_models(manifest: Mapping[str, Any] | None) -> set[str]:
    """Returns the raw tables that models read, by dbt's description of the project, if there is one."""
    if manifest is None:
        return set()
    children = manifest["child_map"]
    return {
        source["name"]
        for name, source in manifest["sources"].items()
        if source["source_name"] == "raw" and any(child.startswith("model.") for child in children.get(name, ()))
    }


def models_of_source(manifest: Mapping[str, Any] | None, table: str) -> list[str]:
    """Returns the models that are built from a raw table, directly or not, as ``folder.name``, marts first."""
    if manifest is None:
        return []
    reached: dict[str, str] = {}
    sources = [name for name, source in manifest["sources"].items() if source["name"] == table]
    _spread(reached, manifest, sources, "")
    models = [manifest["nodes"][name] for name in reached if name.startswith("model.")]
    return [
        f"{node['fqn'][1]}.{node['name']}"
        for node in sorted(models, key=lambda node: (not _is_mart(node), node["name"]))
    ]


def _suspects(
    manifest: Mapping[str, Any], models: Mapping[str, Node], results: Iterable[Mapping[str, Any]]
) -> dict[str, str]:
    """Returns the reason for each suspect node."""
    reasons: dict[str, str] = {}
    # A model that was skipped is nearly always built from a failed one, which explains more: so failures come first.
    for result in sorted(results, key=lambda result: result["status"] == "skipped"):
        name, status = result["unique_id"], result["status"]
        if status in _PASSED:
            continue
        verb = "was skipped" if status == "skipped" else "failed"
        node = manifest["nodes"].get(name)
        if node is not None and node["resource_type"] in ("model", "seed"):
            _spread(reasons, manifest, [name], f"{node['name']} {verb}")
        elif status != "skipped":
            read = node["depends_on"]["nodes"] if node is not None else []
            _spread(reasons, manifest, read or list(models), f"{name.split('.')[2]} {verb}")
    return reasons


def _spread(reasons: dict[str, str], manifest: Mapping[str, Any], origins: Iterable[str], reason: str) -> None:
    """Adds nodes, and what is built from them, to those that have a reason."""
    pending = [name for name in origins if name not in reasons]
    while pending:
        name = pending.pop()
        reasons[name] = reason
        pending.extend(child for child in manifest["child_map"].get(name, ()) if child not in reasons)


def _is_mart(node: Node) -> bool:
    folders: list[str] = node["fqn"][1:-1]
    return folders[:1] == ["marts"] and node["config"]["materialized"] != "ephemeral"


def _builds_part(node: Node) -> bool:
    return node["config"]["materialized"] not in _BUILT_WHOLE or node["config"].get("rebuild") is not None


def _relation(node: Node) -> tuple[str, str]:
    return node["schema"], node["alias"]
