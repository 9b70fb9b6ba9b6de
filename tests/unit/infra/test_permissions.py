"""A file system without permissions is named before anything is written to it."""

import errno
from pathlib import Path

import pytest

from infra.config.settings_file import ensure_settings_file
from infra.install.permissions import check_protection, keeps_permissions
from infra.install.prerequisites import check_prerequisites
from infra.launch.launch import up
from sluice.errors import SluiceError
from sluice.settings import Settings


def test_a_folder_of_this_machine_keeps_permissions_and_stays_empty(tmp_path: Path) -> None:
    assert keeps_permissions(tmp_path)
    assert keeps_permissions(tmp_path / "later" / "home")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("refuses", [False, True])
def test_a_file_system_that_ignores_or_refuses_modes_keeps_none(
    refuses: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def chmod(*_: object) -> None:
        if refuses:
            raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "chmod", chmod)
    assert not keeps_permissions(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_unprotected_home_is_an_error_and_an_unprotected_settings_file_a_warning(tmp_path: Path) -> None:
    home, file = tmp_path / "home", tmp_path / "clone" / ".env"
    settings = Settings(_env_file=None, home=home)  # type: ignore[call-arg]
    assert check_protection(settings, file).status == "ok"
    only_home = check_protection(settings, file, lambda folder: folder == home)
    assert (only_home.status, "can read the passwords" in only_home.found) == ("warning", True)
    neither = check_protection(settings, file, lambda _: False)
    assert neither.status == "error"
    assert str(home) in neither.found
    assert "SLUICE_HOME" in neither.hint


def test_up_and_doctor_name_it_and_up_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_ENV_FILE", str(tmp_path / ".env"))
    monkeypatch.setenv("SLUICE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(Path, "chmod", lambda *_: None)
    with pytest.raises(SluiceError, match=r"keeps no permissions, so Postgres refuses .* Hint: move the clone"):
        up(1, live=True, report=lambda _: None)
    assert list(tmp_path.iterdir()) == []
    settings = Settings(_env_file=None, home=tmp_path / "home")  # type: ignore[call-arg]
    findings = {finding.name: finding.status for finding in check_prerequisites(settings, tmp_path / ".env")}
    assert findings["protection"] == "error"


def test_the_settings_file_is_written_where_there_are_neither_permissions_nor_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    monkeypatch.setattr(Path, "chmod", refuse)
    assert ensure_settings_file(tmp_path / ".env")
    assert not ensure_settings_file(tmp_path / ".env")
    assert [path.name for path in tmp_path.iterdir()] == [".env"]
