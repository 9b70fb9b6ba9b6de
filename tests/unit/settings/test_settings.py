"""The one setting whose variable is not ``SLUICE_…``: it has the name that OpenLineage's own tools read."""

from pathlib import Path

import pytest

from infra.config.settings_file import public_variables
from infra.processes.environment import own_environment
from sluice.errors import TerminalError
from sluice.settings import load_settings

URL = "http://marquez.example:5000"


@pytest.fixture
def file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    file = tmp_path / "settings.env"
    monkeypatch.setenv("SLUICE_ENV_FILE", str(file))
    monkeypatch.delenv("OPENLINEAGE_URL", raising=False)
    return file


def test_openlineage_url_is_read_from_the_file_and_from_the_shell(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().openlineage_url == ""
    file.write_text(f"OPENLINEAGE_URL={URL}/\n")
    assert load_settings().openlineage_url == URL
    shell = own_environment({"OPENLINEAGE_URL": "https://other.example", "OPENLINEAGE_API_KEY": "another tool's"})
    assert shell.keys() == {"OPENLINEAGE_URL", "LANG"}
    monkeypatch.setenv("OPENLINEAGE_URL", shell["OPENLINEAGE_URL"])
    settings = load_settings()
    assert settings.openlineage_url == "https://other.example"
    assert public_variables(settings)["OPENLINEAGE_URL"] == settings.openlineage_url


@pytest.mark.parametrize("url", ["marquez:5000", "http://user:secret@marquez:5000"])
def test_an_openlineage_url_that_cannot_be_right_is_named_with_its_place(file: Path, url: str) -> None:
    file.write_text(f"\nOPENLINEAGE_URL={url}\n")
    with pytest.raises(TerminalError, match=r"settings\.env, line 2: OPENLINEAGE_URL: expected a URL") as error:
        load_settings()
    assert "secret" not in str(error.value)
