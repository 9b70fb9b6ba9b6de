"""What may be published after dbt: only what no failure has touched; and dates are built only if nothing needs them."""

from typing import Any

import pytest

from sluice.transform.lineage import Readers, Readiness, readers_of_source, readiness, tables_read
from tests.unit.transform.conftest import model

FACTS = "model.sluice.facts"
DAILY = "model.sluice.daily"
MINE = "model.sluice.mine"
BUILT_ON_MINE = "model.sluice.built_on_mine"
LIST = "model.sluice.todo"
SEED = "seed.sluice.codes"
TEST = "test.sluice.counts.1"
BY_KEY = {"materialized": "by_key", "rebuild": "day"}
NODES = {
    FACTS: model(FACTS, config=BY_KEY),
    DAILY: model(DAILY, config=BY_KEY),
    MINE: model(MINE),
    BUILT_ON_MINE: model(BUILT_ON_MINE, alias="other name"),
    LIST: model(
        LIST, fqn=["sluice", "intermediate", "todo"], tags=["work_list"], config={"materialized": "incremental"}
    ),
    SEED: {"resource_type": "seed", "name": "codes"},
    TEST: {"resource_type": "test", "depends_on": {"nodes": [DAILY, MINE]}},
    "test.sluice.alone.2": {"resource_type": "test", "depends_on": {"nodes": []}},
}
CHILDREN = {LIST: [FACTS], FACTS: [DAILY, MINE], SEED: [MINE], MINE: [BUILT_ON_MINE], DAILY: [TEST]}


def ready(nodes: dict[str, Any] = NODES, **statuses: str) -> Readiness:
    """Returns what is ready after an invocation; ``statuses`` by the names of the nodes, which otherwise passed."""
    results = [
        {"unique_id": name, "status": statuses.get(name.split(".")[2], "success"), "message": ""} for name in nodes
    ]
    return readiness({"nodes": nodes, "child_map": CHILDREN}, results)


def published(found: Readiness) -> set[str]:
    return {mart.name for mart in found.marts}


def test_everything_is_published_after_a_good_run() -> None:
    found = ready()
    assert published(found) == {"facts", "daily", "mine", "other name"}
    assert found.held_back == {}
    assert found.complete
    assert found.work_lists == [("staging", "todo")]


def test_a_failed_model_holds_back_what_is_built_from_it_and_nothing_else() -> None:
    found = ready(mine="error", built_on_mine="skipped", counts="skipped")
    assert published(found) == {"facts", "daily"}
    assert found.held_back == {"mine": "mine failed", "other name": "mine failed"}


@pytest.mark.parametrize(
    ("statuses", "complete"),
    [
        ({"mine": "error"}, True),  # built whole by the next run, from whatever dates
        ({"counts": "fail"}, False),  # reads the daily mart, whose rows of these dates would never be tested again
        ({"daily": "error"}, False),
        ({"daily": "runtime error"}, False),
        ({"daily": "partial success"}, False),
        ({"todo": "error", "facts": "skipped", "daily": "skipped"}, False),
    ],
)
def test_dates_stay_stale_for_a_model_that_builds_only_stale_rows(statuses: dict[str, str], complete: bool) -> None:
    assert ready(**statuses).complete is complete


def test_a_failed_seed_holds_back_what_is_built_from_it() -> None:
    assert ready(codes="error").held_back == {"mine": "codes failed", "other name": "codes failed"}


def test_a_failed_test_holds_back_every_mart_that_it_reads() -> None:
    found = ready(counts="fail")
    assert published(found) == {"facts"}
    assert found.held_back["other name"] == "counts failed"
    assert published(ready(counts="warn")) == {"facts", "daily", "mine", "other name"}


@pytest.mark.parametrize("name", ["test.sluice.alone.2", "operation.sluice.hook-0"])
def test_a_failure_that_concerns_no_model_holds_back_everything(name: str) -> None:
    results = [{"unique_id": name, "status": "fail", "message": ""}]
    found = readiness({"nodes": NODES, "child_map": CHILDREN}, results)
    assert published(found) == set()
    assert not found.complete


def test_a_model_that_was_skipped_without_a_failure_is_held_back() -> None:
    assert ready(mine="skipped").held_back == {"mine": "mine was skipped", "other name": "mine was skipped"}


SNAPSHOT = "snapshot.sluice.history"


def test_marts_are_all_models_and_snapshots_but_those_of_staging_and_intermediate() -> None:
    nodes = {
        "model.other.deep": model("model.other.deep", fqn=["other", "marts", "deeper", "deep"]),
        "model.sluice.top": model("model.sluice.top", fqn=["sluice", "top"], config={"materialized": "view"}),
        "model.sluice.routes": model("model.sluice.routes", fqn=["sluice", "flights", "routes"]),
        "model.sluice.staging": model("model.sluice.staging", fqn=["sluice", "staging"]),
        "model.sluice.inlined": model("model.sluice.inlined", config={"materialized": "ephemeral"}),
        "model.sluice.stg_b": model("model.sluice.stg_b", fqn=["sluice", "staging", "stg_b"]),
        "model.sluice.deep_stg": model("model.sluice.deep_stg", fqn=["sluice", "sales", "staging", "deep_stg"]),
        "model.sluice.int_c": model("model.sluice.int_c", fqn=["sluice", "intermediate", "sub", "int_c"]),
        SNAPSHOT: snapshot(),
        "test.sluice.t": {"resource_type": "test", "depends_on": {"nodes": []}},
    }
    found = ready(nodes)
    assert published(found) == {"deep", "top", "routes", "staging", "history"}
    assert found.staging == {"b": ("staging", "stg_b")}
    assert next(mart.schema for mart in found.marts if mart.name == "history") == "snapshots"


def snapshot() -> dict[str, Any]:
    config = {"materialized": "snapshot"}
    fqn = ["sluice", "flights", "history"]
    return model(SNAPSHOT, resource_type="snapshot", schema="snapshots", fqn=fqn, config=config)


def test_a_failed_snapshot_holds_back_what_is_built_from_it_and_needs_no_date_again() -> None:
    nodes = NODES | {SNAPSHOT: snapshot()}
    results = [{"unique_id": SNAPSHOT, "status": "error", "message": ""}]
    found = readiness({"nodes": nodes, "child_map": CHILDREN | {SNAPSHOT: [MINE]}}, results)
    assert found.held_back == {"history": "history failed", "mine": "history failed", "other name": "history failed"}
    assert found.complete


RAW = "source.sluice.raw.a_b"
RECONCILE = "exposure.sluice.reconcile"


def read_by(*children: str, **others: Any) -> dict[str, Any]:
    """Returns a manifest in which a raw table has these children; nodes that are named by keywords, besides others."""
    sources = {RAW: {"name": "a_b", "source_name": "raw"}, "source.sluice.o.a_b": {"name": "a_b", "source_name": "o"}}
    known = CHILDREN | {RAW: [RECONCILE, *children], "source.sluice.o.a_b": [LIST]}
    return {"nodes": NODES | others, "sources": sources, "child_map": known}


def test_the_readers_of_a_table_are_what_is_built_from_it_marts_first() -> None:
    staging = "model.sluice.stg_a_b"
    manifest = read_by(staging, **{staging: model(staging, fqn=["sluice", "staging", "stg_a_b"])})
    manifest["child_map"][staging] = [FACTS]
    manifest["nodes"][TEST] = NODES[TEST] | {"name": "counts", "test_metadata": {"name": "counts"}}
    assert readers_of_source(manifest, "a_b") == Readers(
        ["marts.built_on_mine", "marts.daily", "marts.facts", "marts.mine", "staging.stg_a_b"], []
    )
    assert tables_read(manifest) == {"a_b"}
    assert readers_of_source(None, "a_b") == Readers([], [])
    assert tables_read(None) == set()


def test_a_table_that_only_the_reconciliation_reads_has_no_reader() -> None:
    assert readers_of_source(read_by(), "a_b") == Readers([], [])
    assert tables_read(read_by()) == set()
    unknown = read_by()
    del unknown["child_map"][RAW]
    assert tables_read(unknown) == set()


@pytest.mark.parametrize(
    ("reader", "run", "referring"),
    [
        (SNAPSHOT, ["marts.history"], []),
        ("test.sluice.no_gap", ["test no_gap"], []),
        ("operation.sluice.on-run-end-0", ["hook on-run-end-0"], []),
        ("analysis.sluice.routes", [], ["analysis routes"]),
        ("exposure.sluice.report", [], ["exposure report"]),
        ("semantic_model.sluice.gates", [], ["semantic model gates"]),
    ],
)
def test_whatever_reads_a_table_is_one_of_its_readers(reader: str, run: list[str], referring: list[str]) -> None:
    kind, _, name = reader.split(".")
    node = {"resource_type": kind, "name": name, "depends_on": {"nodes": [RAW]}}
    # dbt lists exposures and semantic models elsewhere.
    nodes = {} if kind in ("exposure", "semantic_model") else {reader: snapshot() if kind == "snapshot" else node}
    manifest = read_by(reader, **nodes)
    assert tables_read(manifest) == {"a_b"}
    assert readers_of_source(manifest, "a_b") == Readers(run, referring)
