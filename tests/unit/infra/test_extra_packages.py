"""Python packages for DAGs: beside Airflow's locked ones, which stay; a mistake changes nothing. With real uv."""

from pathlib import Path

import pytest

from sluice.settings import ROOT
from tests.fixtures.locked_checkout import EXTRA, LockedCheckout


@pytest.fixture
def checkout(tmp_path: Path) -> LockedCheckout:
    return LockedCheckout(tmp_path)


def test_no_package_is_committed() -> None:
    assert all(line.startswith("#") for line in (ROOT / EXTRA).read_text().splitlines())


def test_a_package_is_installed_beside_the_locked_ones_and_removed_again(checkout: LockedCheckout) -> None:
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


def test_a_package_that_cannot_be_installed_is_one_line_and_changes_nothing(checkout: LockedCheckout) -> None:
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
        assert line.startswith(f"sluice: the packages of {EXTRA} cannot be installed: "), line
        assert reason in line or "unsatisfiable" in line
        assert line.endswith(". Hint: correct that file.")
        assert checkout.versions("airflow", "addition", "greedy") == ["1", "1", ""]
    # Every other command works.
    assert checkout.run().returncode == 0


def test_a_folder_which_has_no_hash_is_refused_in_one_line(checkout: LockedCheckout) -> None:
    own = checkout.folder / "own"
    own.mkdir()
    (own / "pyproject.toml").write_text('[project]\nname = "own"\nversion = "1"\n')
    checkout.add(str(own))
    done = checkout.run("extra")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"sluice: the packages of {EXTRA} cannot be installed: {own} has no hash. Hint: ")


def test_packages_stay_after_a_change_of_the_locks_and_with_the_packages_of_tests(checkout: LockedCheckout) -> None:
    checkout.wheel("addition", "1", "airflow")
    checkout.add("addition")
    assert checkout.run("extra").returncode == 0
    checkout.lock("platform", "airflow", "2")
    assert checkout.run("extra").returncode == 0
    assert checkout.versions("airflow", "addition") == ["2", "1"]
    assert checkout.run("dev").returncode == 0
    assert checkout.run("extra").returncode == 0
    assert checkout.versions("airflow", "addition") == ["1", "1"]
