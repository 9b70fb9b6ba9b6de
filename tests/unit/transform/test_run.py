"""A transform: one dbt invocation builds exactly the stale dates, and only a retry of the same run resumes it."""

import contextlib
import fcntl
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from datetime import date, timedelta
from pathlib import Path
from types import TracebackType

import pytest
from pydantic import TypeAdapter

from sluice.errors import SluiceError, TerminalError, TransientError
from sluice.transform import audit, exclusive, plan, publish_built, run_dbt, steps, transform
from sluice.transform import build as build_plan
from sluice.transform import check as check_built
from sluice.transform import run as runs
from sluice.transform.dbt import Dbt
from sluice.transform.lineage import Readiness
from sluice.transform.outcome import Outcome
from sluice.transform.run import Publication, TransformReport
from sluice.transform.sources import declare_sources
from sluice.transform.steps import Plan
from tests.unit.transform.conftest import model

MakeDbt = Callable[..., Dbt]

GOOD = [{"unique_id": "model.sluice.a", "status": "success", "message": ""}]
BAD = [*GOOD, {"unique_id": "model.sluice.b", "status": "error", "message": "server closed the connection"}]


class Warehouse:
    """A fake of the warehouse, with the functions that lock it and that read and write its plan."""

    def __init__(self, **stale_dates: list[date]) -> None:
        self.stale_dates = stale_dates
        self.plan: tuple[str, dict[str, list[date]]] | None = None
        self.locked = False
        self.busy = False
        self.built: str | None = None
        self.seeds: str | None = None
        self.manifest: dict[str, object] | None = None
        self.whole: set[str] = set()
        self.removed: list[str] = []
        self.autocommit = False
        self.published: list[str] = []
        self.refused: dict[str, SluiceError] = {}
        self.any_refused = False
        self.outcomes: dict[str, str] = {}
        self.last_run: str | None = None

    def __enter__(self) -> "Warehouse":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.locked = False

    def lock(self, connection: object, patience: timedelta) -> bool:
        self.locked = True
        return self.busy

    def write_plan(self, connection: object, run: str) -> dict[str, list[date]]:
        assert self.locked
        dates = dict(self.stale_dates)
        self.plan = (run, dates)
        if dates:
            self.outcomes.clear()
        return dates

    def publish(
        self, connection: object, ready: Readiness, rebuilt: Iterable[str], log_line: object
    ) -> dict[str, SluiceError]:
        assert self.locked
        self.whole -= set(rebuilt)
        self.published = [mart.name for mart in ready.marts if mart.name not in self.refused]
        return self.refused

    def read_plan(self, connection: object, run: str) -> dict[str, list[date]] | None:
        assert self.locked
        if self.plan is None or self.plan[0] != run:
            return None
        dates = self.plan[1]
        return dates if all(day in self.stale_dates[stream] for stream in dates for day in dates[stream]) else None

    def built_digest(self, connection: object) -> str | None:
        return self.built

    def built_manifest(self, connection: object) -> dict[str, object] | None:
        return self.manifest

    def record_built(self, connection: object, digest: str, manifest: dict[str, object], files: bytes) -> None:
        self.built, self.manifest = digest, manifest

    def built_seeds(self, connection: object) -> str | None:
        return self.seeds

    def record_seeds(self, connection: object, digest: str | None) -> None:
        assert self.locked
        self.seeds = digest

    def last_built(self, connection: object, dbt: Dbt) -> AbstractContextManager[None]:
        return nullcontext()

    def mark_whole(self, connection: object, models: Iterable[str]) -> list[str]:
        new = set(models) - self.whole
        self.whole |= new
        return sorted(new)

    def read_whole(self, connection: object) -> list[str]:
        return sorted(self.whole)

    def keep_outcome(self, connection: object, run: str, outcome: Outcome) -> None:
        assert self.locked
        self.outcomes[run] = TypeAdapter(Outcome).dump_json(outcome).decode()

    def read_outcome(self, connection: object, run: str) -> Outcome | None:
        return TypeAdapter(Outcome).validate_json(self.outcomes[run]) if run in self.outcomes else None

    def record_last_run(self, connection: object, run: str, result: str) -> None:
        self.last_run = f"{run}, {result}"

    def known_removed(self, connection: object) -> list[str]:
        return self.removed


@pytest.fixture
def warehouse(monkeypatch: pytest.MonkeyPatch) -> Warehouse:
    fake = Warehouse(flights=[date(2013, 1, 1), date(2013, 1, 2)])
    monkeypatch.setattr(exclusive, "connect", lambda settings, role: fake)
    monkeypatch.setattr(exclusive, "lock", fake.lock)
    for name in (
        "mark_whole",
        "read_whole",
        "publish",
        "known_removed",
        "built_manifest",
        "record_built",
        "last_built",
        "built_seeds",
    ):
        monkeypatch.setattr(steps, name, getattr(fake, name))
    for module in (runs, steps):
        for name in ("write_plan", "read_plan", "built_digest", "record_seeds"):
            monkeypatch.setattr(module, name, getattr(fake, name))
    for name in ("keep_outcome", "read_outcome"):
        monkeypatch.setattr(runs, name, getattr(fake, name))
    monkeypatch.setattr(runs, "connect", lambda settings, role: fake)
    monkeypatch.setattr(runs, "create_tables", lambda connection: None)
    monkeypatch.setattr(steps, "any_refused", lambda connection: fake.any_refused)
    monkeypatch.setattr(steps, "record_last_run", fake.record_last_run)
    for module in (runs, steps):
        monkeypatch.setattr(module, "last_run", lambda connection: fake.last_run)
        monkeypatch.setattr(module, "forget_outcomes", lambda connection: fake.outcomes.clear())
    return fake


@pytest.fixture
def known(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> Warehouse:
    """A warehouse whose project has not changed since it was built."""
    warehouse.built = "digest"
    monkeypatch.setattr(steps, "project_digest", lambda dbt: "digest")
    return warehouse


def build(dbt: Dbt, log_lines: list[str], *, run: str = "run 1", resume: bool = False) -> TransformReport:
    return transform(dbt.settings, {}, dbt=dbt, run=run, log_line=log_lines.append, resume=resume)


def invocations(dbt: Dbt) -> list[str]:
    file = dbt.project / "logs" / "arguments"
    return [line.split(" --project-dir")[0] for line in file.read_text().splitlines()] if file.exists() else []


def test_all_stale_dates_are_built_by_one_invocation_and_published(
    make_dbt: MakeDbt, known: Warehouse, log_lines: list[str]
) -> None:
    dbt = make_dbt(results=GOOD)
    report = build(dbt, log_lines)
    # Without variables: if they changed, dbt would parse its project again.
    assert invocations(dbt) == ["--no-use-colors build --selector transform"]
    assert known.published == ["a"]
    assert report.dates == {"flights": [date(2013, 1, 1), date(2013, 1, 2)]}
    assert "flights 2" in report.text()


def test_dbt_is_not_started_if_no_date_is_stale(make_dbt: MakeDbt, known: Warehouse, log_lines: list[str]) -> None:
    known.stale_dates = {}
    dbt = make_dbt(results=GOOD)
    assert "nothing to build" in build(dbt, log_lines).text()
    assert invocations(dbt) == []


def test_a_transform_with_nothing_to_build_names_the_run_that_has_built_it(
    make_dbt: MakeDbt, known: Warehouse, log_lines: list[str]
) -> None:
    dbt = make_dbt(results=GOOD)
    build(dbt, log_lines, run="run 1")
    known.stale_dates = {}
    for run in ("run 2", "run 3"):
        text = build(dbt, log_lines, run=run).text()
        assert text.startswith("nothing to build: no date and no model has changed since run run 1, built 1 dbt nodes")


def test_a_mart_that_was_not_published_is_built_even_if_no_date_is_stale(
    make_dbt: MakeDbt, known: Warehouse, log_lines: list[str]
) -> None:
    known.stale_dates = {}
    known.any_refused = True
    assert build(make_dbt(results=GOOD), log_lines).nodes
    assert known.published == ["a"]


def test_a_failed_model_holds_back_its_own_mart(make_dbt: MakeDbt, warehouse: Warehouse, log_lines: list[str]) -> None:
    failed = [*GOOD, {"unique_id": "model.sluice.b", "status": "error", "message": "division by zero"}]
    with pytest.raises(TerminalError, match=r"model\.sluice\.b: division by zero"):
        build(make_dbt("exit 1", failed), log_lines)
    assert warehouse.published == ["a"]
    assert "marts.b was not published: b failed" in log_lines
    assert warehouse.built


def test_a_failed_seed_is_built_again_by_the_next_transform(
    make_dbt: MakeDbt, warehouse: Warehouse, log_lines: list[str]
) -> None:
    failed = [*GOOD, {"unique_id": "seed.sluice.b", "status": "error", "message": "invalid"}]
    with pytest.raises(TerminalError, match="invalid"):
        build(make_dbt("exit 1", failed), log_lines)
    assert warehouse.published == ["a"]
    assert warehouse.built is None


def test_nothing_is_published_if_a_model_has_lost_its_server(
    make_dbt: MakeDbt, warehouse: Warehouse, log_lines: list[str]
) -> None:
    with pytest.raises(TransientError):
        build(make_dbt("exit 1", BAD), log_lines)
    assert warehouse.published == []
    # The retry fails in the same way, so it may not be the server.
    with pytest.raises(TransientError):
        build(make_dbt("exit 1", BAD), log_lines, resume=True)
    assert warehouse.published == ["a"]


def test_an_error_names_a_mart_that_was_not_published_and_says_whether_a_retry_helps(
    make_dbt: MakeDbt, warehouse: Warehouse, log_lines: list[str]
) -> None:
    warehouse.refused = {"a": TerminalError("marts.a was not published: fails", "fix it")}
    with pytest.raises(TerminalError, match=r"marts\.a was not published: fails; every other mart was\. Hint: fix it"):
        build(make_dbt(results=GOOD), log_lines)
    warehouse.refused["b"] = TransientError("marts.b was not published: held", "wait")
    with pytest.raises(TransientError, match=r"marts\.b .*; 1 more were not published; every other mart was"):
        build(make_dbt(results=GOOD), log_lines)


def test_the_first_transform_builds_everything_even_if_no_date_is_stale(
    make_dbt: MakeDbt, warehouse: Warehouse, log_lines: list[str]
) -> None:
    warehouse.stale_dates = {}
    dbt = make_dbt(results=GOOD)
    assert "a new or changed project" in build(dbt, log_lines).text()
    assert invocations(dbt) == ["--no-use-colors build --selector project"]
    assert "nothing to build" in build(dbt, log_lines).text()


@pytest.mark.parametrize("file", ["models/my_model.sql", "seeds/codes.csv", "macros/mine.sql", "dbt_project.yml"])
def test_a_changed_file_of_the_project_is_built_without_a_stale_date(
    make_dbt: MakeDbt, warehouse: Warehouse, log_lines: list[str], file: str
) -> None:
    warehouse.stale_dates = {}
    dbt = make_dbt(results=GOOD)
    build(dbt, log_lines)
    (dbt.project / file).parent.mkdir(exist_ok=True)
    (dbt.project / file).write_text("changed")
    assert build(dbt, log_lines).nodes
    (dbt.project / "target").mkdir()
    (dbt.project / "target" / "manifest.json").write_text("written by dbt")
    assert not build(dbt, log_lines).nodes


@pytest.mark.parametrize(
    ("file", "text", "selector"),
    [
        ("models/marts/a.sql", "select 2", "transform"),
        ("models/marts/a.yml", "models: []", "transform"),
        ("models/marts/a.yml", "seeds: []", "project"),
        ("snapshots/a.sql", "select 2", "transform"),
        ("seeds/codes.csv", "a", "project"),
        ("seeds/codes.yml", "", "project"),
        ("macros/a.sql", "", "project"),
        ("tests/a.sql", "", "project"),
        ("dbt_project.yml", "", "project"),
    ],
)
def test_seeds_are_built_unless_only_models_have_changed(
    make_dbt: MakeDbt, warehouse: Warehouse, log_lines: list[str], file: str, text: str, selector: str
) -> None:
    dbt = make_dbt(results=GOOD)
    build(dbt, log_lines)
    (dbt.project / file).parent.mkdir(parents=True, exist_ok=True)
    (dbt.project / file).write_text(text)
    build(dbt, log_lines)
    assert [line.split()[-1] for line in invocations(dbt)] == ["project", selector]
    warehouse.stale_dates = {}
    assert not build(dbt, log_lines).nodes


def test_a_build_reads_the_files_of_the_seeds_once_and_only_if_the_project_has_changed(
    make_dbt: MakeDbt, warehouse: Warehouse, log_lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Dbt] = []
    digest = steps.seeds_digest

    def count(dbt: Dbt) -> str:
        read.append(dbt)
        return digest(dbt)

    monkeypatch.setattr(steps, "seeds_digest", count)
    dbt = make_dbt(results=GOOD)
    for text, times in (("select 1", 1), ("select 1", 0), ("select 2", 1)):
        (dbt.project / "models").mkdir(exist_ok=True)
        (dbt.project / "models" / "a.sql").write_text(text)
        assert build(dbt, log_lines).nodes
        assert len(read) == times
        read.clear()


def test_seeds_that_may_differ_from_their_files_are_built_with_the_next_change_of_a_model(
    make_dbt: MakeDbt, warehouse: Warehouse, log_lines: list[str]
) -> None:
    dbt = make_dbt(results=GOOD)
    build(dbt, log_lines)
    codes, model_file = dbt.project / "seeds" / "codes.csv", dbt.project / "models" / "a.sql"
    for file in (codes, model_file):
        file.parent.mkdir(exist_ok=True)
    # dbt dies in the build of another seed, which is taken back.
    codes.write_text("other")
    with pytest.raises(TransientError):
        build(make_dbt("exit 1", BAD), log_lines)
    codes.unlink()
    dbt = make_dbt(results=GOOD)
    model_file.write_text("select 1")
    build(dbt, log_lines)
    # A command by hand builds another seed, which is taken back.
    run_dbt(dbt.settings, {}, ["seed"], dbt=dbt, log_line=log_lines.append)
    model_file.write_text("select 2")
    build(dbt, log_lines)
    model_file.write_text("select 3")
    build(dbt, log_lines)
    assert [line.split()[-1] for line in invocations(dbt)] == [
        "project",
        "project",
        "project",
        "seed",
        "project",
        "transform",
    ]


def test_a_project_that_was_not_built_is_not_recorded(
    make_dbt: MakeDbt, warehouse: Warehouse, log_lines: list[str]
) -> None:
    with pytest.raises(TransientError):
        build(make_dbt("exit 1", BAD), log_lines)
    assert warehouse.built is None


OTHER_COLUMNS = 'the columns of "w"."staging"."b" are out of date: x is missing. Hint: …'
SCHEMA_CHANGE = (
    "Compilation Error\n  The source and target schemas on this incremental model are out of sync!\n  They …"
)


@pytest.mark.parametrize("message", [OTHER_COLUMNS, SCHEMA_CHANGE])
def test_a_model_with_other_columns_is_rebuilt_whole_with_what_is_built_from_it(
    make_dbt: MakeDbt, known: Warehouse, log_lines: list[str], message: str
) -> None:
    results = [*GOOD, {"unique_id": "model.sluice.b", "status": "error", "message": message}]
    fixed = [{"unique_id": f"model.sluice.{name}", "status": "success", "message": ""} for name in ("b", "c")]
    rebuilt = json.dumps({"results": fixed})
    dbt = make_dbt(
        f"case \"$*\" in *retry*) echo '{rebuilt}' >$DBT_TARGET_PATH/run_results.json;; *) exit 1;; esac", results
    )
    nodes = {name: model(name, config=BY_KEY) for name in (A, B, C)}
    manifest = json.dumps({"nodes": nodes, "sources": {}, "child_map": {A: [], B: [C]}, "macros": {}})
    (dbt.executable.parent / "manifest.json").write_text(manifest)
    report = build(dbt, log_lines)
    assert [line.split()[1] for line in invocations(dbt)] == ["build", "retry"]
    assert "columns have changed, rebuilding all rows and what is built from them: b" in log_lines
    assert report.notes == ("rebuilt all rows, because columns or configuration have changed: b, c",)
    assert known.published == ["a", "b", "c"]
    assert known.whole == set()


def test_a_model_that_cannot_be_rebuilt_fails_once(make_dbt: MakeDbt, known: Warehouse, log_lines: list[str]) -> None:
    results = [*GOOD, {"unique_id": "model.sluice.b", "status": "error", "message": OTHER_COLUMNS}]
    dbt = make_dbt("exit 1", results)
    with pytest.raises(TerminalError, match=r"model\.sluice\.b: the columns of"):
        build(dbt, log_lines)
    assert [line.split()[1] for line in invocations(dbt)] == ["build", "retry"]
    assert known.published == ["a"]
    # Marked, so that the next transform does not fail first.
    assert known.whole == {"model.sluice.b"}


A, B, C = (f"model.sluice.{name}" for name in "abc")
BY_KEY = {"materialized": "by_key", "rebuild": "day"}


def test_a_model_with_another_configuration_is_rebuilt_whole(
    make_dbt: MakeDbt, warehouse: Warehouse, log_lines: list[str]
) -> None:
    dbt = make_dbt(results=GOOD)
    old = {"nodes": {A: model(A, config=BY_KEY | {"indexes": ["x"]})}, "sources": {}, "child_map": {}, "macros": {}}
    warehouse.built, warehouse.manifest = "old", old
    manifest = json.dumps({"nodes": {A: model(A, config=BY_KEY)}, "sources": {}, "child_map": {}, "macros": {}})
    (dbt.executable.parent / "manifest.json").write_text(manifest)
    report = build(dbt, log_lines)
    assert [line.split(maxsplit=1)[1] for line in invocations(dbt)] == [
        "build --selector project",
        "build --exclude test_type:unit --select a",
    ]
    assert report.notes == ("rebuilt all rows, because columns or configuration have changed: a",)
    assert warehouse.whole == set()


def test_a_model_with_other_sql_is_named_with_the_commands_that_rebuild_its_history(
    make_dbt: MakeDbt, warehouse: Warehouse, log_lines: list[str]
) -> None:
    dbt = make_dbt(results=GOOD)
    old = {
        "nodes": {A: model(A, config=BY_KEY, checksum={"checksum": "0"})},
        "sources": {},
        "child_map": {},
        "macros": {},
    }
    warehouse.built, warehouse.manifest = "old", old
    manifest = json.dumps({"nodes": {A: model(A, config=BY_KEY)}, "sources": {}, "child_map": {}, "macros": {}})
    (dbt.executable.parent / "manifest.json").write_text(manifest)
    report = build(dbt, log_lines)
    assert len(invocations(dbt)) == 1
    assert "SQL, seeds or vars have changed, which earlier rows do not follow: a. Hint: `make backfill" in report.text()
    # Only once.
    assert not build(dbt, log_lines).notes


def test_a_removed_mart_is_named_by_every_transform(make_dbt: MakeDbt, known: Warehouse, log_lines: list[str]) -> None:
    known.stale_dates = {}
    known.removed = ["old", "older"]
    text = build(make_dbt(results=GOOD), log_lines).text()
    assert "no model builds marts.old, marts.older any more" in text
    assert "`make up FORCE=1` drops it" in text


def test_an_audit_before_the_first_transform_runs_no_tests(
    make_dbt: MakeDbt, warehouse: Warehouse, log_lines: list[str]
) -> None:
    dbt = make_dbt(results=GOOD)
    assert audit(dbt.settings, {}, dbt=dbt) == 0
    assert invocations(dbt) == []
    warehouse.built = "digest"
    assert audit(dbt.settings, {}, dbt=dbt) == 1
    assert "--selector audit" in invocations(dbt)[0]


def test_a_retry_resumes_with_the_same_plan(make_dbt: MakeDbt, warehouse: Warehouse, log_lines: list[str]) -> None:
    with pytest.raises(TransientError):
        build(make_dbt("exit 1", BAD), log_lines)
    warehouse.stale_dates = {"flights": [*warehouse.stale_dates["flights"], date(2013, 1, 3)]}
    dbt = make_dbt(results=GOOD)
    report = build(dbt, log_lines, resume=True)
    assert invocations(dbt)[1] == f"--no-use-colors retry --state {dbt.home / 'unfinished'}"
    assert warehouse.published == ["a"]
    assert report.resumed
    assert report.dates == {"flights": [date(2013, 1, 1), date(2013, 1, 2)]}
    # The run is finished: a third attempt starts from scratch.
    assert not build(dbt, log_lines, resume=True).resumed


@pytest.mark.parametrize(("run", "resume"), [("run 1", False), ("run 2", True)])
def test_another_run_or_a_first_attempt_starts_from_scratch(
    make_dbt: MakeDbt, warehouse: Warehouse, log_lines: list[str], run: str, resume: bool
) -> None:
    with pytest.raises(TransientError):
        build(make_dbt("exit 1", BAD), log_lines)
    dbt = make_dbt(results=GOOD)
    assert not build(dbt, log_lines, run=run, resume=resume).resumed
    assert " build " in invocations(dbt)[1]


def test_a_retry_starts_from_scratch_if_another_transform_has_built_its_dates(
    make_dbt: MakeDbt, warehouse: Warehouse, log_lines: list[str]
) -> None:
    with pytest.raises(TransientError):
        build(make_dbt("exit 1", BAD), log_lines)
    warehouse.stale_dates = {"flights": [date(2013, 1, 9)]}
    report = build(make_dbt(results=GOOD), log_lines, resume=True)
    assert not report.resumed
    assert report.dates == {"flights": [date(2013, 1, 9)]}


def test_a_retry_without_dbts_record_starts_from_scratch(
    make_dbt: MakeDbt, warehouse: Warehouse, log_lines: list[str]
) -> None:
    with pytest.raises(TerminalError):
        build(make_dbt("exit 2"), log_lines)
    assert not build(make_dbt(results=GOOD), log_lines, resume=True).resumed


def test_a_retry_starts_from_scratch_if_only_publishing_failed(
    make_dbt: MakeDbt, warehouse: Warehouse, log_lines: list[str]
) -> None:
    # `dbt retry` would find nothing to do, and publish nothing.
    failed = [*GOOD, {"unique_id": "operation.sluice.sluice-on-run-end-0", "status": "error", "message": "no"}]
    with pytest.raises(TerminalError):
        build(make_dbt("exit 1", failed), log_lines)
    assert not build(make_dbt(results=GOOD), log_lines, resume=True).resumed


def test_a_retry_starts_from_scratch_if_another_run_has_started_since(
    make_dbt: MakeDbt, warehouse: Warehouse, log_lines: list[str]
) -> None:
    with pytest.raises(TransientError):
        build(make_dbt("exit 1", BAD), log_lines)
    # The other run was killed before it left a record.
    with pytest.raises(TerminalError):
        build(make_dbt("rm $DBT_TARGET_PATH/run_results.json; exit 2"), log_lines, run="run 2")
    assert not build(make_dbt(results=GOOD), log_lines, resume=True).resumed


@pytest.mark.parametrize("part", ["", '{"nodes": {"model.sluice.a": {"resou'])
def test_what_a_killed_dbt_has_left_incomplete_costs_no_later_transform(
    make_dbt: MakeDbt, warehouse: Warehouse, log_lines: list[str], part: str
) -> None:
    dbt = make_dbt(results=GOOD)
    target = dbt.home / "target"
    target.mkdir(parents=True)
    for name in ("manifest.json", "run_results.json"):
        (target / name).write_text(part)

    assert dbt.read_manifest_if_any() is None
    assert dbt.read_results() == []
    with pytest.raises(TransientError, match="interrupted"):
        dbt.read_manifest()
    declare_sources({}, dbt)
    build(dbt, log_lines)
    assert dbt.read_manifest()["nodes"]


def test_waiting_for_another_transform_is_logged(make_dbt: MakeDbt, warehouse: Warehouse, log_lines: list[str]) -> None:
    warehouse.busy = True
    build(make_dbt(results=GOOD), log_lines)
    assert any("waited" in line for line in log_lines)


def test_dbt_inherits_the_lock_of_its_folder(make_dbt: MakeDbt, warehouse: Warehouse, log_lines: list[str]) -> None:
    dbt = make_dbt("ls -l /dev/fd/ > logs/open_files", GOOD)
    build(dbt, log_lines)
    assert str(dbt.home / "lock") in (dbt.project / "logs" / "open_files").read_text()
    with (dbt.home / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_command_by_hand_has_a_plan_of_its_own_and_its_retry_keeps_it(
    make_dbt: MakeDbt, warehouse: Warehouse, log_lines: list[str]
) -> None:
    planned = warehouse.stale_dates
    dbt = make_dbt("exit 1", BAD)
    with pytest.raises(TransientError):
        run_dbt(dbt.settings, {}, ["build", "--selector", "transform"], dbt=dbt, log_line=log_lines.append)
    assert warehouse.plan == (runs.BY_HAND, planned)
    warehouse.stale_dates = {"flights": [*planned["flights"], date(2013, 1, 3)]}
    dbt = make_dbt()
    run_dbt(dbt.settings, {}, ["retry"], dbt=dbt, log_line=log_lines.append)
    assert warehouse.plan == (runs.BY_HAND, planned)
    run_dbt(dbt.settings, {}, ["build", "--selector", "transform"], dbt=dbt, log_line=log_lines.append)
    assert warehouse.plan == (runs.BY_HAND, warehouse.stale_dates)


@pytest.mark.parametrize("script", ["", "exit 1"])
def test_only_a_failed_build_by_hand_can_be_retried(
    make_dbt: MakeDbt, warehouse: Warehouse, log_lines: list[str], script: str
) -> None:
    dbt = make_dbt(script, BAD)
    with contextlib.suppress(TransientError):
        run_dbt(dbt.settings, {}, ["test", "--selector", "transform"], dbt=dbt, log_line=log_lines.append)
    with pytest.raises(TerminalError, match="nothing to retry"):
        run_dbt(dbt.settings, {}, ["retry"], dbt=dbt, log_line=log_lines.append)
    assert len(invocations(dbt)) == 1


FAILED_TEST = {"unique_id": "test.sluice.t.1", "status": "fail", "message": "Got 2 results, configured to fail if != 0"}
PASSED_TEST = FAILED_TEST | {"status": "pass"}


class Steps:
    """The steps of one run, as the tasks of the DAG call them."""

    def __init__(self, dbt: Dbt, run: str = "run 1") -> None:
        self.dbt = dbt
        self.run = run

    def plan(self) -> Plan:
        return plan(self.dbt.settings, {}, dbt=self.dbt, run=self.run, log_line=print)

    def build(self, resume: bool = False) -> Outcome | None:
        return build_plan(self.dbt.settings, {}, dbt=self.dbt, run=self.run, log_line=print, resume=resume)

    def check(self, resume: bool = False) -> Outcome | None:
        return check_built(self.dbt.settings, {}, dbt=self.dbt, run=self.run, log_line=print, resume=resume)

    def publish(self) -> Publication | None:
        return publish_built(self.dbt.settings, {}, dbt=self.dbt, run=self.run, log_line=print)


def test_separate_steps_invoke_dbt_once_and_publish_what_it_has_built(make_dbt: MakeDbt, known: Warehouse) -> None:
    run = Steps(make_dbt(results=[*GOOD, PASSED_TEST]))
    planned = run.plan()
    assert planned.due
    assert planned.text() == "stale dates: flights 2"
    # Loaded since: it is not in the plan, and a build without `resume` keeps the plan.
    known.stale_dates = {"flights": [*known.stale_dates["flights"], date(2013, 1, 3)]}
    outcome = run.build()
    assert outcome is not None
    assert outcome.dates == planned.dates
    assert known.published == []
    assert run.check() == outcome
    assert outcome.tests == 1
    publication = run.publish()
    assert publication is not None
    assert publication.marts == ["a"] == known.published
    assert [line.split()[1] for line in invocations(run.dbt)] == ["build"]


def test_a_plan_without_anything_to_build_says_so(make_dbt: MakeDbt, known: Warehouse) -> None:
    known.stale_dates = {}
    planned = Steps(make_dbt(results=GOOD)).plan()
    assert not planned.due
    assert "nothing to build" in planned.text()


def test_a_step_after_another_plan_publishes_nothing(make_dbt: MakeDbt, known: Warehouse) -> None:
    run, other = (Steps(make_dbt(results=GOOD), name) for name in ("run 1", "run 2"))
    run.plan()
    run.build()
    other.plan()
    # dbt may have built other rows since, or some of them.
    assert run.check() is None
    assert run.publish() is None
    assert known.published == []
    # A build plans again.
    assert run.build() is not None
    assert run.publish() is not None
    # Nothing is stale: the next plan leaves what was built as it is, and it can be published again.
    known.stale_dates = {}
    assert not other.plan().due
    assert run.publish() is not None


def test_a_build_without_a_plan_and_without_stale_dates_builds_nothing(make_dbt: MakeDbt, known: Warehouse) -> None:
    known.stale_dates = {}
    run = Steps(make_dbt(results=GOOD))
    assert run.build() is None
    assert run.publish() is None
    assert invocations(run.dbt) == []


def test_a_failed_model_is_the_failure_of_the_build_and_a_failed_test_that_of_the_check(
    make_dbt: MakeDbt, known: Warehouse
) -> None:
    failed = {"unique_id": "model.sluice.b", "status": "error", "message": "division by zero"}
    for results, of_models, of_tests in (
        ([*GOOD, failed], "division by zero", None),
        ([*GOOD, FAILED_TEST], None, "Got 2 results"),
        ([*GOOD, failed, FAILED_TEST], "division by zero", "Got 2 results"),
    ):
        run = Steps(make_dbt("exit 1", results))
        run.plan()
        outcome = run.build()
        assert outcome is not None
        for error, message in ((outcome.failure_of_models(), of_models), (outcome.failure_of_tests(), of_tests)):
            assert (message in str(error)) if message else error is None
        with pytest.raises(TerminalError, match=r"was not published: .* failed.*every other mart was"):
            run.publish()


def test_a_check_that_is_run_again_runs_the_failed_tests_again(make_dbt: MakeDbt, known: Warehouse) -> None:
    run = Steps(make_dbt("exit 1", [*GOOD, FAILED_TEST]))
    run.plan()
    run.build()
    assert run.check() is not None
    run = Steps(make_dbt(results=[*GOOD, PASSED_TEST]))
    outcome = run.check(resume=True)
    assert outcome is not None
    assert outcome.failure_of_tests() is None
    assert [line.split()[1] for line in invocations(run.dbt)] == ["build", "retry"]
    # Nothing is left to be tested again.
    run.check(resume=True)
    assert len(invocations(run.dbt)) == 2


def test_publishing_again_publishes_the_same(make_dbt: MakeDbt, known: Warehouse) -> None:
    run = Steps(make_dbt(results=GOOD))
    run.plan()
    run.build()
    known.refused = {"a": TransientError("marts.a was not published: held", "wait")}
    with pytest.raises(TransientError, match="held"):
        run.publish()
    known.refused = {}
    run.publish()
    assert known.published == ["a"]
    assert len(invocations(run.dbt)) == 1


def test_a_changed_project_counts_as_built_once_it_is_published(make_dbt: MakeDbt, warehouse: Warehouse) -> None:
    run = Steps(make_dbt(results=GOOD))
    run.plan()
    run.build()
    assert warehouse.built is None
    run.publish()
    assert warehouse.built
    assert warehouse.manifest is not None
    assert "nodes" in warehouse.manifest


def test_a_project_that_does_not_parse_fails_the_build_and_the_run(
    make_dbt: MakeDbt, known: Warehouse, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    @contextlib.contextmanager
    def last_built(connection: object, dbt: Dbt) -> Iterator[list[str]]:
        current, dbt.project = dbt.project, tmp_path / "last"
        dbt.project.mkdir(exist_ok=True)
        yield ["models/a.sql"]
        dbt.project = current

    monkeypatch.setattr(steps, "last_built", last_built)
    script = (
        "case $PWD in */last) ;; *) rm $DBT_TARGET_PATH/run_results.json; echo 'Encountered an error: x'; exit 2;; esac"
    )
    run = Steps(make_dbt(script, GOOD))
    run.plan()
    outcome = run.build()
    assert outcome is not None
    message = r"Encountered an error: x; until that is fixed, .* before models/a\.sql changed"
    with pytest.raises(TerminalError, match=message):
        raise outcome.failure_of_models() or AssertionError
    assert outcome.failure_of_tests() is None
    with pytest.raises(TerminalError, match=message):
        run.publish()
    # All the same.
    assert known.published == ["a"]
    assert known.built == "digest"
    known.stale_dates = {}
    run.plan()
    known.any_refused = True
    with pytest.raises(TerminalError, match=message):
        run.build()
