"""A transform: one dbt invocation over exactly what was pending, gone on with by the same run alone."""

import fcntl
from collections.abc import Callable
from datetime import date, timedelta
from types import TracebackType

import pytest

from sluice.errors import TerminalError, TransientError
from sluice.transform import audit, transform
from sluice.transform import run as runs
from sluice.transform.dbt import Dbt
from sluice.transform.run import TransformReport

MakeDbt = Callable[..., Dbt]

GOOD = [{"unique_id": "model.sluice.a", "status": "success", "message": ""}]
BAD = [*GOOD, {"unique_id": "model.sluice.b", "status": "error", "message": "server closed the connection"}]


class Warehouse:
    """What is pending and planned, in memory, in the place of the functions that read and write it."""

    def __init__(self, **pending: list[date]) -> None:
        self.pending = pending
        self.plan_: dict[str, list[date]] = {}
        self.locked = False
        self.busy = False
        self.seeds_differ = False
        self.autocommit = False

    def __enter__(self) -> "Warehouse":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.locked = False

    def lock(self, connection: object, patience: timedelta) -> bool:
        self.locked = True
        return self.busy

    def plan(self, connection: object) -> dict[str, list[date]]:
        assert self.locked
        self.plan_ = dict(self.pending)
        return self.plan_

    def planned(self, connection: object) -> dict[str, list[date]] | None:
        assert self.locked
        return (
            self.plan_
            if all(day in self.pending[stream] for stream in self.plan_ for day in self.plan_[stream])
            else None
        )


@pytest.fixture
def warehouse(monkeypatch: pytest.MonkeyPatch) -> Warehouse:
    held = Warehouse(flights=[date(2013, 1, 1), date(2013, 1, 2)])
    monkeypatch.setattr(runs, "connect", lambda settings, role: held)
    for name in ("lock", "plan", "planned"):
        monkeypatch.setattr(runs, name, getattr(held, name))
    monkeypatch.setattr(runs, "seeds_differ", lambda connection, dbt: held.seeds_differ)
    return held


def build(dbt: Dbt, said: list[str], *, run: str = "run 1", resume: bool = False) -> TransformReport:
    return transform(dbt.settings, {}, dbt=dbt, run=run, say=said.append, resume=resume)


def asked(dbt: Dbt) -> list[str]:
    file = dbt.project / "arguments"
    return [line.split(" --project-dir")[0] for line in file.read_text().splitlines()] if file.exists() else []


def test_everything_pending_is_built_by_one_invocation(
    make_dbt: MakeDbt, warehouse: Warehouse, said: list[str]
) -> None:
    dbt = make_dbt(results=GOOD)
    report = build(dbt, said)
    # Without variables, which would have dbt parse its project anew.
    assert asked(dbt) == ["--no-use-colors build --selector transform"]
    assert report.touched == {"flights": [date(2013, 1, 1), date(2013, 1, 2)]}
    assert "flights 2" in report.text()


def test_with_nothing_pending_dbt_is_not_started(make_dbt: MakeDbt, warehouse: Warehouse, said: list[str]) -> None:
    warehouse.pending = {}
    dbt = make_dbt(results=GOOD)
    assert "nothing to build" in build(dbt, said).text()
    assert asked(dbt) == []


def test_the_first_transform_builds_everything_even_from_nothing(
    make_dbt: MakeDbt, warehouse: Warehouse, said: list[str]
) -> None:
    warehouse.pending = {}
    warehouse.seeds_differ = True
    dbt = make_dbt(results=GOOD)
    assert "reference tables" in build(dbt, said).text()
    assert asked(dbt) == [
        "--no-use-colors build --selector setup",
        "--no-use-colors build --selector transform",
    ]


def test_reference_tables_are_only_noted_when_what_is_built_from_them_is(
    make_dbt: MakeDbt, warehouse: Warehouse, said: list[str]
) -> None:
    warehouse.seeds_differ = True
    with pytest.raises(TransientError):
        build(make_dbt('case "$*" in *transform*) exit 1;; esac', BAD), said)
    note = make_dbt().home / "seeds.sha256"
    assert not note.exists()
    build(make_dbt(results=GOOD), said)
    assert note.exists()


def test_before_the_first_transform_there_is_nothing_to_audit(
    make_dbt: MakeDbt, warehouse: Warehouse, said: list[str]
) -> None:
    warehouse.seeds_differ = True
    dbt = make_dbt(results=GOOD)
    assert audit(dbt.settings, {}, dbt=dbt) == 0
    assert asked(dbt) == []
    warehouse.seeds_differ = False
    assert audit(dbt.settings, {}, dbt=dbt) == 1
    assert "--selector audit" in asked(dbt)[0]


def test_a_retry_goes_on_with_the_same_plan(make_dbt: MakeDbt, warehouse: Warehouse, said: list[str]) -> None:
    with pytest.raises(TransientError):
        build(make_dbt("exit 1", BAD), said)
    warehouse.pending = {"flights": [*warehouse.pending["flights"], date(2013, 1, 3)]}
    dbt = make_dbt(results=GOOD)
    report = build(dbt, said, resume=True)
    assert asked(dbt)[1] == f"--no-use-colors retry --state {dbt.home / 'unfinished'}"
    assert report.resumed
    assert report.touched == {"flights": [date(2013, 1, 1), date(2013, 1, 2)]}
    # It is done: a third attempt of the same run begins anew.
    assert not build(dbt, said, resume=True).resumed


@pytest.mark.parametrize(("run", "resume"), [("run 1", False), ("run 2", True)])
def test_another_run_and_a_first_attempt_begin_anew(
    make_dbt: MakeDbt, warehouse: Warehouse, said: list[str], run: str, resume: bool
) -> None:
    with pytest.raises(TransientError):
        build(make_dbt("exit 1", BAD), said)
    dbt = make_dbt(results=GOOD)
    assert not build(dbt, said, run=run, resume=resume).resumed
    assert " build " in asked(dbt)[1]


def test_a_retry_of_what_another_transform_has_built_begins_anew(
    make_dbt: MakeDbt, warehouse: Warehouse, said: list[str]
) -> None:
    with pytest.raises(TransientError):
        build(make_dbt("exit 1", BAD), said)
    warehouse.pending = {"flights": [date(2013, 1, 9)]}
    report = build(make_dbt(results=GOOD), said, resume=True)
    assert not report.resumed
    assert report.touched == {"flights": [date(2013, 1, 9)]}


def test_a_retry_without_dbts_record_begins_anew(make_dbt: MakeDbt, warehouse: Warehouse, said: list[str]) -> None:
    with pytest.raises(TerminalError):
        build(make_dbt("exit 2"), said)
    assert not build(make_dbt(results=GOOD), said, resume=True).resumed


def test_a_retry_of_what_failed_in_publishing_alone_begins_anew(
    make_dbt: MakeDbt, warehouse: Warehouse, said: list[str]
) -> None:
    # dbt itself would find nothing to do again, and publish nothing.
    failed = [*GOOD, {"unique_id": "operation.sluice.sluice-on-run-end-0", "status": "error", "message": "no"}]
    with pytest.raises(TerminalError):
        build(make_dbt("exit 1", failed), said)
    assert not build(make_dbt(results=GOOD), said, resume=True).resumed


def test_what_another_run_has_begun_meanwhile_is_not_gone_on_with(
    make_dbt: MakeDbt, warehouse: Warehouse, said: list[str]
) -> None:
    with pytest.raises(TransientError):
        build(make_dbt("exit 1", BAD), said)
    # The other one was killed before it left a record.
    with pytest.raises(TerminalError):
        build(make_dbt("rm $DBT_TARGET_PATH/run_results.json; exit 2"), said, run="run 2")
    assert not build(make_dbt(results=GOOD), said, resume=True).resumed


def test_it_says_when_it_waited_for_another(make_dbt: MakeDbt, warehouse: Warehouse, said: list[str]) -> None:
    warehouse.busy = True
    build(make_dbt(results=GOOD), said)
    assert any("waited" in line for line in said)


def test_dbt_itself_holds_the_folders_lock(make_dbt: MakeDbt, warehouse: Warehouse, said: list[str]) -> None:
    dbt = make_dbt("ls -l /dev/fd/ > held", GOOD)
    build(dbt, said)
    assert str(dbt.home / "lock") in (dbt.project / "held").read_text()
    with (dbt.home / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
