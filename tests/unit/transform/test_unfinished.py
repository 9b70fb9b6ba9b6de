"""dbt's record of a failed run: kept only for a retry of the same run."""

from pathlib import Path

import pytest

from sluice.transform.unfinished import RESULTS, forget, is_kept, keep


@pytest.fixture
def results(tmp_path: Path) -> Path:
    file = tmp_path / "target" / RESULTS
    file.parent.mkdir()
    file.write_text('{"results": []}')
    return file


def test_a_record_is_only_for_retries_of_the_same_run(tmp_path: Path, results: Path) -> None:
    keep(tmp_path / "kept", "run 1", results)
    assert is_kept(tmp_path / "kept", "run 1")
    assert not is_kept(tmp_path / "kept", "run 2")
    assert (tmp_path / "kept" / RESULTS).read_text() == results.read_text()


def test_a_newer_record_replaces_an_older_one(tmp_path: Path, results: Path) -> None:
    keep(tmp_path / "kept", "run 1", results)
    keep(tmp_path / "kept", "run 2", results)
    assert is_kept(tmp_path / "kept", "run 2")
    assert not is_kept(tmp_path / "kept", "run 1")


def test_a_truncated_record_is_ignored(tmp_path: Path, results: Path) -> None:
    results.write_text('{"results": [{"uniq')
    keep(tmp_path / "kept", "run 1", results)
    assert not is_kept(tmp_path / "kept", "run 1")


@pytest.mark.parametrize("file", [RESULTS, "run"])
def test_a_record_without_one_of_its_files_is_ignored(tmp_path: Path, results: Path, file: str) -> None:
    keep(tmp_path / "kept", "run 1", results)
    (tmp_path / "kept" / file).unlink()
    assert not is_kept(tmp_path / "kept", "run 1")


def test_a_record_can_be_forgotten_twice(tmp_path: Path, results: Path) -> None:
    keep(tmp_path / "kept", "run 1", results)
    forget(tmp_path / "kept")
    forget(tmp_path / "kept")
    assert not is_kept(tmp_path / "kept", "run 1")
