"""Generated files are written all or none."""

from pathlib import Path

import pytest

from cli.new_files import write_files
from sluice.errors import TerminalError


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_all_files_are_written_with_the_permissions_of_new_files(tmp_path: Path) -> None:
    write_files({tmp_path / "new" / "a.yml": b"a", tmp_path / "b.yml": b"b"})
    assert contents(tmp_path) == {"new/a.yml": b"a", "b.yml": b"b"}
    (tmp_path / "other").touch()
    assert (tmp_path / "b.yml").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_file_that_cannot_be_prepared_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("not a folder")
    before = contents(tmp_path)
    with pytest.raises(TerminalError, match=r"folder/b cannot be written, so nothing was"):
        write_files({tmp_path / "a": b"a", tmp_path / "folder" / "b": b"b"})
    assert contents(tmp_path) == before


def test_a_file_that_cannot_be_read_before_it_is_replaced_is_named(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    with pytest.raises(TerminalError, match=r"b cannot be written, so nothing was: Is a directory"):
        write_files({tmp_path / "a": b"a", tmp_path / "b": b"b"})
    assert contents(tmp_path) == {}


def test_a_failure_between_two_files_restores_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"before")
    replace, calls = Path.replace, []

    def fail_on_the_third(self: Path, target: Path) -> Path:
        calls.append(target.name)
        if len(calls) == 3:
            raise PermissionError(13, "Permission denied")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", fail_on_the_third)
    with pytest.raises(TerminalError, match=r"c cannot be written, so nothing was: Permission denied"):
        write_files({tmp_path / "a": b"after", tmp_path / "b": b"new", tmp_path / "c": b"new"})
    assert contents(tmp_path) == {"a": b"before"}
    assert calls == ["a", "b", "c", "a"]
