"""Python packages for DAGs: beside Airflow's locked ones, which stay; a mistake changes nothing. With real uv."""

import hashlib
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from sluice.settings import ROOT

NAMES = "infra/requirements/extra.in"


class Checkout:
    """A checkout whose locks have one package each, from a folder of wheels."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.wheels = folder / "wheels"
        self.wheels.mkdir(parents=True)
        for file in ("bootstrap", "uv", "environment.sh", "requirements/uv.txt", "requirements/extra.in"):
            target = folder / "infra" / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / "infra" / file, target)
        (folder / ".tools").mkdir()
        (folder / ".tools" / "uv").symlink_to(ROOT / ".tools" / "uv")
        self.wheel("airflow", "2")
        self.lock("platform", "airflow", "1")
        self.lock("dev", "airflow", "1")
        self.lock("dbt", "dbt", "1")

    def wheel(self, name: str, version: str, *requirements: str) -> str:
        """Writes a package with one module, and returns its hash."""
        metadata = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}"]
        about = f"{name}-{version}.dist-info"
        files = {
            f"{name}.py": f"VERSION = {version}",
            f"{about}/METADATA": "\n".join(metadata + [f"Requires-Dist: {text}" for text in requirements]),
            f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            f"{about}/entry_points.txt": f"[console_scripts]\n{name} = {name}:VERSION\n",
        }
        path = self.wheels / f"{name}-{version}-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for file, text in files.items():
                archive.writestr(file, text)
            archive.writestr(f"{about}/RECORD", "".join(f"{file},,\n" for file in [*files, f"{about}/RECORD"]))
        return hashlib.sha256(path.read_bytes()).hexdigest()

    def lock(self, file: str, name: str, version: str) -> None:
        text = f"--no-index\n--find-links {self.wheels}\n{name}=={version} --hash=sha256:{self.wheel(name, version)}\n"
        (self.folder / "infra" / "requirements" / f"{file}.txt").write_text(text)

    def add(self, *names: str) -> None:
        """Replaces the user's packages."""
        comment = (ROOT / NAMES).read_text()
        (self.folder / NAMES).write_text("\n".join([comment, f"--no-index\n--find-links {self.wheels}", *names, ""]))

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        script = self.folder / "infra" / "bootstrap"
        return subprocess.run([script, *arguments], capture_output=True, text=True, cwd="/")

    def versions(self, *modules: str) -> list[str]:
        """Returns the versions that DAGs import; "" for a module that cannot be imported."""
        python = self.folder / ".venv" / "bin" / "python"
        done = [
            subprocess.run([python, "-c", f"import {module}; print({module}.VERSION)"], capture_output=True, text=True)
            for module in modules
        ]
        return [process.stdout.strip() for process in done]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_no_package_is_committed() -> None:
    assert all(line.startswith("#") for line in (ROOT / NAMES).read_text().splitlines())


def test_a_package_is_installed_beside_the_locked_ones_and_removed_again(checkout: Checkout) -> None:
    checkout.wheel("inner", "1")
    checkout.wheel("addition", "1", "airflow", "inner")
    checkout.add("addition")
    # Other commands than a launch leave it.
    assert checkout.run().returncode == 0
    assert checkout.versions("airflow", "addition") == ["1", ""]
    done = checkout.run("extra")
    assert done.returncode == 0, done.stderr
    assert checkout.versions("airflow", "addition", "inner") == ["1", "1", "1"]
    assert "Python packages for DAGs" in done.stdout
    # Nothing to do.
    assert checkout.run("extra").stdout == ""
    checkout.add()
    assert checkout.run("extra").returncode == 0
    assert checkout.versions("airflow", "addition", "inner") == ["1", "", ""]
    assert checkout.run("extra").stdout == ""


def test_a_package_that_cannot_be_installed_is_one_line_and_changes_nothing(checkout: Checkout) -> None:
    checkout.wheel("addition", "1")
    checkout.wheel("greedy", "1", "airflow>=2")
    checkout.add("addition")
    assert checkout.run("extra").returncode == 0
    for name, reason in {
        "greedy": "greedy==1 depends on airflow>=2",
        "misspelled": "misspelled was not found",
        "not a requirement": "Couldn't parse requirement",
    }.items():
        checkout.add("addition", name)
        done = checkout.run("extra")
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"sluice: the packages of {NAMES} cannot be installed: "), line
        assert reason in line or "unsatisfiable" in line
        assert line.endswith(". Hint: correct that file.")
        assert checkout.versions("airflow", "addition", "greedy") == ["1", "1", ""]
    # Every other command works.
    assert checkout.run().returncode == 0


def test_a_folder_which_has_no_hash_is_refused_in_one_line(checkout: Checkout) -> None:
    own = checkout.folder / "own"
    own.mkdir()
    (own / "pyproject.toml").write_text('[project]\nname = "own"\nversion = "1"\n')
    checkout.add(str(own))
    done = checkout.run("extra")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"sluice: the packages of {NAMES} cannot be installed: {own} has no hash. Hint: ")


def test_packages_stay_after_a_change_of_the_locks_and_with_the_packages_of_tests(checkout: Checkout) -> None:
    checkout.wheel("addition", "1", "airflow")
    checkout.add("addition")
    assert checkout.run("extra").returncode == 0
    checkout.lock("platform", "airflow", "2")
    assert checkout.run("extra").returncode == 0
    assert checkout.versions("airflow", "addition") == ["2", "1"]
    assert checkout.run("dev").returncode == 0
    assert checkout.run("extra").returncode == 0
    assert checkout.versions("airflow", "addition") == ["1", "1"]
