"""A transform's plan, and how it is kept for a retry."""

import json
from datetime import date
from pathlib import Path

import pytest

from sluice.transform.plan import PLAN, RESULTS, Plan, forget, save, saved

ROWS = [
    (3, "weather.observed", date(2013, 1, 2)),
    (5, "flights.arrived", date(2013, 1, 2)),
    (6, "flights.arrived", date(2013, 1, 1)),
    (9, "flights.arrived", date(2013, 1, 2)),
]
PLAN_OF_ROWS = Plan.of("run 1", ROWS)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    file = tmp_path / "target" / RESULTS
    file.parent.mkdir()
    file.write_text('{"results": []}')
    return file


def test_a_plan_holds_every_row_and_each_date_once() -> None:
    assert PLAN_OF_ROWS.seqs == (3, 5, 6, 9)
    assert PLAN_OF_ROWS.touched == {
        "flights.arrived": ["2013-01-01", "2013-01-02"],
        "weather.observed": ["2013-01-02"],
    }
    assert json.loads(PLAN_OF_ROWS.variables()) == {"touched": PLAN_OF_ROWS.touched}


def test_a_kept_plan_comes_back_whole_for_the_same_run(tmp_path: Path, results: Path) -> None:
    save(tmp_path / "kept", PLAN_OF_ROWS, results)
    assert saved(tmp_path / "kept", "run 1") == PLAN_OF_ROWS
    assert (tmp_path / "kept" / RESULTS).read_text() == results.read_text()


def test_another_run_does_not_get_it(tmp_path: Path, results: Path) -> None:
    save(tmp_path / "kept", PLAN_OF_ROWS, results)
    assert saved(tmp_path / "kept", "run 2") is None


def test_a_newer_plan_takes_the_place_of_an_older_one(tmp_path: Path, results: Path) -> None:
    save(tmp_path / "kept", PLAN_OF_ROWS, results)
    newer = Plan.of("run 2", ROWS[:1])
    save(tmp_path / "kept", newer, results)
    assert saved(tmp_path / "kept", "run 2") == newer


def test_without_dbts_record_nothing_is_kept_and_what_was_goes(tmp_path: Path, results: Path) -> None:
    save(tmp_path / "kept", PLAN_OF_ROWS, results)
    save(tmp_path / "kept", PLAN_OF_ROWS, tmp_path / "none.json")
    assert saved(tmp_path / "kept", "run 1") is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"run": "run 1"}', '{"run": "run 1", "seqs": 3, "touched": {}}'])
def test_a_damaged_plan_is_none(tmp_path: Path, results: Path, text: str) -> None:
    save(tmp_path / "kept", PLAN_OF_ROWS, results)
    (tmp_path / "kept" / PLAN).write_text(text)
    assert saved(tmp_path / "kept", "run 1") is None


def test_a_record_that_was_cut_off_is_none(tmp_path: Path, results: Path) -> None:
    results.write_text('{"results": [{"uniq')
    save(tmp_path / "kept", PLAN_OF_ROWS, results)
    assert saved(tmp_path / "kept", "run 1") is None


def test_a_missing_record_is_none(tmp_path: Path, results: Path) -> None:
    save(tmp_path / "kept", PLAN_OF_ROWS, results)
    (tmp_path / "kept" / RESULTS).unlink()
    assert saved(tmp_path / "kept", "run 1") is None


def test_forgetting_what_is_not_there_is_no_error(tmp_path: Path) -> None:
    forget(tmp_path / "kept")
    assert saved(tmp_path / "kept", "run 1") is None
