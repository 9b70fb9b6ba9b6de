"""dbt packages, as dbt's documentation has them: named in `packages.yml`, installed by `dbt deps`. With real dbt."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from sluice.settings import ROOT, Settings
from sluice.transform.dbt import Dbt, ProjectError
from sluice.transform.exclusive import exclusive_dbt_dir
from sluice.transform.packages import install_packages, packages_differ, update_packages

PACKAGE = {
    "dbt_project.yml": 'name: mine\nversion: "1.0"\nconfig-version: 2\n',
    "macros/cents.sql": "{% macro cents(column) %}{{ column }} * 100{% endmacro %}",
    "models/of_the_package.sql": "select 1 as x",
}
LOCAL = "packages:\n  - local: packages/mine\n"


def write_package(folder: Path) -> Path:
    for name, text in PACKAGE.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def dbt(tmp_path: Path, log_lines: list[str]) -> Dbt:
    """Real dbt, with a copy of the platform's project that has no models but one that calls a package's macro."""
    project = tmp_path / "project"
    shutil.copytree(ROOT / "dbt", project, ignore=shutil.ignore_patterns("models", "seeds", "tests", "target", "logs"))
    (project / "models").mkdir()
    (project / "models" / "my_model.sql").write_text("select {{ mine.cents('1') }} as x")
    settings = Settings(home=tmp_path / "home", dbt=project, transformer_password=SecretStr("x"))
    return Dbt(settings, log_lines.append)


def files(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*")}


def test_a_local_package_is_installed_outside_of_the_project_which_may_be_read_only(
    dbt: Dbt, log_lines: list[str]
) -> None:
    write_package(dbt.project / "packages" / "mine")
    assert not packages_differ(dbt)
    (dbt.project / "packages.yml").write_text(LOCAL)
    before = files(dbt.project)
    for path in (dbt.project, *dbt.project.rglob("*")):
        path.chmod(path.stat().st_mode & ~0o222)
    assert packages_differ(dbt)
    assert update_packages(dbt, {})
    assert not update_packages(dbt, {})
    assert files(dbt.project) == before
    dbt.run("parse")
    nodes = dbt.read_manifest()["nodes"]
    assert nodes["model.mine.of_the_package"]["schema"] == "staging"
    assert "macro.mine.cents" in nodes["model.sluice.my_model"]["depends_on"]["macros"]
    dbt.project.chmod(0o755)
    (dbt.project / "packages.yml").unlink()
    assert update_packages(dbt, {})
    assert files(dbt.packages) == set()
    assert not packages_differ(dbt)


def git(repository: Path, *arguments: str) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(repository)}
    command = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org", *arguments]
    subprocess.run(command, cwd=repository, env=environment, check=True, capture_output=True)


def write_repository(folder: Path) -> Path:
    repository = write_package(folder)
    git(repository, "init", "--initial-branch=main")
    git(repository, "add", ".")
    git(repository, "commit", "--message=first")
    return repository


def test_a_git_package_keeps_the_revision_that_was_installed_until_its_entry_changes(dbt: Dbt, tmp_path: Path) -> None:
    repository = write_repository(tmp_path / "repository")
    entry = f"packages:\n  - git: file://{repository}\n    revision: main\n    warn-unpinned: false\n"
    (dbt.project / "packages.yml").write_text(entry)
    update_packages(dbt, {})
    macro = dbt.packages / "mine" / "macros" / "cents.sql"
    first = macro.read_text()
    (repository / "macros" / "cents.sql").write_text(first.replace("100", "1000"))
    git(repository, "commit", "--all", "--message=second")
    with exclusive_dbt_dir(dbt.home) as lock_fd:
        install_packages(dbt, lock_fd=lock_fd)
        assert macro.read_text() == first
        install_packages(dbt, lock_fd=lock_fd, arguments=["--upgrade"])
    assert "1000" in macro.read_text()


@pytest.mark.parametrize("place", ["settings file", "shell"])
def test_a_private_repository_gets_its_credential_which_stays_in_no_file(
    dbt: Dbt, log_lines: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    # A part of the path stands for the credential in the URL of a server.
    secret = "s3cr3t-of-mine"
    write_repository(tmp_path / secret)
    url = f"file://{tmp_path}/" + "{{ env_var('DBT_ENV_SECRET_GIT_CREDENTIAL') }}"
    (dbt.project / "packages.yml").write_text(f'packages:\n  - git: "{url}"\n    revision: main\n')
    settings_file = tmp_path / "settings"
    settings_file.write_text(f"DBT_ENV_SECRET_GIT_CREDENTIAL='{secret}'\n" if place == "settings file" else "")
    monkeypatch.setenv("SLUICE_ENV_FILE", str(settings_file))
    assert update_packages(dbt, {"DBT_ENV_SECRET_GIT_CREDENTIAL": secret} if place == "shell" else {})
    # A transform has no credential and needs none.
    monkeypatch.setenv("SLUICE_ENV_FILE", os.devnull)
    dbt.run("parse")
    assert "macro.mine.cents" in dbt.read_manifest()["macros"]
    assert not packages_differ(dbt)
    assert [path for path in dbt.home.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()] == []
    assert secret not in "\n".join(log_lines)


def test_a_private_repository_without_its_credential_has_a_hint(
    dbt: Dbt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLUICE_ENV_FILE", os.devnull)
    url = "https://{{ env_var('DBT_ENV_SECRET_TOKEN') }}@127.0.0.1:1/mine.git"
    (dbt.project / "packages.yml").write_text(f'packages:\n  - git: "{url}"\n    revision: main\n')
    with pytest.raises(ProjectError, match=r"Hint: set DBT_ENV_SECRET_TOKEN in \.env and run `make up`"):
        update_packages(dbt, {})


def test_a_package_that_cannot_be_installed_is_one_line_and_the_installed_ones_stay(dbt: Dbt) -> None:
    write_package(dbt.project / "packages" / "mine")
    (dbt.project / "packages.yml").write_text(LOCAL)
    update_packages(dbt, {})
    (dbt.project / "packages.yml").write_text(LOCAL.replace("mine", "missing"))
    with pytest.raises(ProjectError, match=r"No dbt_project\.yml found at expected path") as caught:
        update_packages(dbt, {})
    assert str(caught.value).startswith("dbt packages cannot be installed: ")
    assert "Hint: correct packages.yml" in str(caught.value)
    assert packages_differ(dbt)
    assert (dbt.packages / "mine" / "dbt_project.yml").exists()


def test_a_server_of_packages_that_cannot_be_reached_has_a_hint(make_dbt: Callable[..., Dbt]) -> None:
    dbt = make_dbt("echo 'External connection exception occurred: HTTPSConnectionPool: Max retries exceeded'; exit 1")
    (dbt.project / "packages.yml").write_text("packages:\n  - package: dbt-labs/dbt_utils\n    version: 1.3.0\n")
    with pytest.raises(ProjectError, match="make up"):
        update_packages(dbt, {})


def test_only_an_installation_has_the_proxy_of_the_shell_and_the_credentials(
    make_dbt: Callable[..., Dbt], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings_file = tmp_path / "settings"
    settings_file.write_text("DBT_ENV_SECRET_TOKEN=of-the-file\nDBT_ENV_SECRET_OTHER=of-the-file\nDBT_THREADS=9\n")
    monkeypatch.setenv("SLUICE_ENV_FILE", str(settings_file))
    dbt = make_dbt("cat logs/environment >> $DBT_LOG_PATH.environment")
    (dbt.project / "packages.yml").write_text("packages:\n  - package: dbt-labs/dbt_utils\n    version: 1.3.0\n")
    record = dbt.home / "logs.environment"
    shell = {"HTTPS_PROXY": "http://proxy", "PGOPTIONS": "not for dbt", "DBT_ENV_SECRET_TOKEN": "of-the-shell"}
    update_packages(dbt, shell)
    variables = dict(line.split("=", 1) for line in record.read_text().splitlines())
    assert variables["HTTPS_PROXY"] == "http://proxy"
    assert variables["DBT_ENV_SECRET_TOKEN"] == "of-the-shell"
    assert variables["DBT_ENV_SECRET_OTHER"] == "of-the-file"
    assert not {"PGOPTIONS", "DBT_THREADS"} & variables.keys()
    assert "of-the" not in (dbt.home / "deps" / "logs" / "arguments").read_text()
    record.unlink()
    dbt.run("build")
    assert "proxy" not in record.read_text()
    assert "of-the" not in record.read_text()
