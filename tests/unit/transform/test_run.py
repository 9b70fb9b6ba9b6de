"""A transform: one dbt invocation over exactly what was pending, marked as built only when it succeeded."""

import fcntl
from collections.abc import Callable, Sequence
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
    """``ops.touched_dates`` in memory, in the place of the functions that read and write it."""

    def __init__(self, *rows: tuple[int, str, date]) -> None:
        self.rows = list(rows)
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

    def pending(self, connection: object) -> list[tuple[int, str, date]]:
        assert self.locked
        return list(self.rows)

    def all_pending(self, connection: object, seqs: Sequence[int]) -> bool:
        return set(seqs) <= {seq for seq, _, _ in self.rows}

    def mark_built(self, connection: object, seqs: Sequence[int]) -> None:
        assert self.locked
        self.rows = [row for row in self.rows if row[0] not in seqs]


@pytest.fixture
def warehouse(monkeypatch: pytest.MonkeyPatch) -> Warehouse:
    held = Warehouse((1, "a.b", date(2013, 1, 1)), (2, "a.b", date(2013, 1, 2)))
    monkeypatch.setattr(runs, "connect", lambda settings, role: held)
    for name in ("lock", "pending", "all_pending", "mark_built"):
        monkeypatch.setattr(runs, name, getattr(held, name))
    monkeypatch.setattr(runs, "seeds_differ", lambda connection, dbt: held.seeds_differ)
    return held


def build(dbt: Dbt, said: list[str], *, run: str = "run 1", resume: bool = False) -> TransformReport:
    return transform(dbt.settings, {}, dbt=dbt, run=run, say=said.append, resume=resume)


def asked(dbt: Dbt) -> list[str]:
    file = dbt.project / "arguments"
    return [line.split(" --project-dir")[0] for line in file.read_text().splitlines()] if file.exists() else []


def test_everything_pending_is_built_by_one_invocation_and_marked(
    make_dbt: MakeDbt, warehouse: Warehouse, said: list[str]
) -> None:
    dbt = make_dbt(results=GOOD)
    report = build(dbt, said)
    assert asked(dbt) == [
        '--no-use-colors build --selector transform --vars {"touched": {"a.b": ["2013-01-01", "2013-01-02"]}}'
    ]
    assert warehouse.rows == []
    assert report.touched == {"a.b": [date(2013, 1, 1), date(2013, 1, 2)]}
    assert "a.b 2" in report.text()


def test_with_nothing_pending_dbt_is_not_started(make_dbt: MakeDbt, warehouse: Warehouse, said: list[str]) -> None:
    warehouse.rows = []
    dbt = make_dbt(results=GOOD)
    assert "nothing to build" in build(dbt, said).text()
    assert asked(dbt) == []


def test_the_first_transform_builds_everything_even_from_nothing(
    make_dbt: MakeDbt, warehouse: Warehouse, said: list[str]
) -> None:
    warehouse.rows = []
    warehouse.seeds_differ = True
    dbt = make_dbt(results=GOOD)
    assert "reference tables" in build(dbt, said).text()
    assert asked(dbt) == [
        "--no-use-colors build --selector setup",
        '--no-use-colors build --selector transform --vars {"touched": {}}',
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


def test_a_date_touched_meanwhile_stays_pending(
    make_dbt: MakeDbt, warehouse: Warehouse, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    dbt = make_dbt(results=GOOD)
    late = (3, "a.b", date(2013, 1, 1))
    real = dbt.run

    def run(*arguments: str, hold: Sequence[int] = ()) -> None:
        warehouse.rows.append(late)
        real(*arguments, hold=hold)

    monkeypatch.setattr(dbt, "run", run)
    build(dbt, said)
    assert warehouse.rows == [late]


def test_a_failed_invocation_marks_nothing(make_dbt: MakeDbt, warehouse: Warehouse, said: list[str]) -> None:
    with pytest.raises(TransientError):
        build(make_dbt("exit 1", BAD), said)
    assert len(warehouse.rows) == 2


def test_a_retry_goes_on_with_the_same_plan(make_dbt: MakeDbt, warehouse: Warehouse, said: list[str]) -> None:
    with pytest.raises(TransientError):
        build(make_dbt("exit 1", BAD), said)
    later = (3, "a.b", date(2013, 1, 3))
    warehouse.rows.append(later)
    dbt = make_dbt(results=GOOD)
    report = build(dbt, said, resume=True)
    assert asked(dbt)[1] == f"--no-use-colors retry --state {dbt.home / 'unfinished'}"
    assert report.resumed
    assert report.touched == {"a.b": [date(2013, 1, 1), date(2013, 1, 2)]}
    assert warehouse.rows == [later]
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
    warehouse.rows = [(9, "a.b", date(2013, 1, 9))]
    report = build(make_dbt(results=GOOD), said, resume=True)
    assert not report.resumed
    assert report.touched == {"a.b": [date(2013, 1, 9)]}


def test_a_retry_without_dbts_record_begins_anew(make_dbt: MakeDbt, warehouse: Warehouse, said: list[str]) -> None:
    with pytest.raises(TerminalError):
        build(make_dbt("exit 2"), said)
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
