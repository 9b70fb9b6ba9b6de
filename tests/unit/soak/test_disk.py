"""A file system that is filled has no block left, and is free again afterwards."""

from pathlib import Path

import pytest

from tests.soak import disk


def test_a_full_disk_takes_nothing_until_it_is_freed(tmp_path: Path) -> None:
    folder = tmp_path / "home"
    folder.mkdir()
    with disk.mounted(folder) as reason:
        if reason:
            pytest.skip(reason)
        with disk.full(folder), pytest.raises(OSError, match="No space left"):
            (folder / "file").write_bytes(b"x" * 10_000)
        (folder / "file").write_bytes(b"x" * 10_000)
    assert not [*folder.iterdir()]
    assert not folder.with_name("home.image").exists()


def test_a_user_other_than_root_is_told_why_no_disk_is_mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with disk.mounted(tmp_path) as reason:
        assert reason == "only root can mount a file system"
